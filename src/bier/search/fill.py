"""Filling an index: what is new is added, what has changed is replaced, the rest is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from bier.search.base import Index, Rows


@dataclass
class Filled:
    """What became of the pictures."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0


def fill(index: Index, batches: Iterable[Rows], progress: Callable[[int], object] | None = None) -> Filled:
    """Bring the index up to date with these pictures; it may be repeated after an interruption."""
    filled = Filled()
    for rows in batches:
        before = index.get(rows.ids)
        changed = []
        for row, record in enumerate(before):
            if record is None:
                filled.added += 1
            elif record.metadata != rows.metadata[row] or not np.array_equal(record.vector, rows.vectors[row]):
                filled.replaced += 1
            else:
                filled.unchanged += 1
                continue
            changed.append(row)
        index.add([rows.ids[row] for row in changed], rows.vectors[changed], [rows.metadata[row] for row in changed])
        if progress is not None:
            progress(len(rows))
    index.flush()
    return filled
