"""Several labels in one cell, such as ``red|round``: how they are told apart, and how they are noticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

_USUAL = "|;"


def parts(cell: object, separator: str) -> list[str]:
    """The labels in a cell, without spaces around them; empty ones are none."""
    return [part for part in (piece.strip() for piece in str(cell).split(separator)) if part]


def warning(labels: Collection[str]) -> str | None:
    """A line for a person, if different labels share a part between usual separators."""
    for separator in _USUAL:
        several = [label for label in sorted(set(labels)) if len(parts(label, separator)) > 1]
        counts = Counter(part for label in set(labels) for part in set(parts(label, separator)))
        for label in several:
            if any(counts[part] > 1 for part in parts(label, separator)):
                return (
                    f"WARNING: {len(several):,} labels such as {label!r} look like several in one. Each is taken as a "
                    "class of its own, also where two share a part. To make pictures that share one alike, "
                    f"add --set 'data.label_separator={separator}'"
                )
    return None
