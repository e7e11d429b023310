"""What a person types. `commands` has all commands, in a file for each group."""

from bier.cli.entry import main

__all__ = ["main"]
