"""``python -m bier.cli``."""

from bier.cli import main

main()
