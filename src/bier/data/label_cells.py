"""Several labels in one cell, such as ``red|round``."""

from __future__ import annotations


def parts(cell: object, separator: str) -> list[str]:
    """The labels in a cell, without spaces around them; empty ones are none."""
    return [part for part in (piece.strip() for piece in str(cell).split(separator)) if part]
