"""What a person types; a file for each group of commands, which register themselves."""

from bier.cli import embedding, exporting, searching, serving, training  # noqa: F401
from bier.cli.app import app, main

__all__ = ["app", "main"]
