"""What labels and marks together say of the pairs of a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bier.method.losses.relations import SAME, UNKNOWN
from bier.training.job import Relations

Indices = NDArray[np.int64]


class OfClasses:
    """Relations of pictures that have one class each.

    Args:
        classes: (n,) whole numbers.
    """

    def __init__(self, classes: Indices) -> None:
        self._classes = classes

    def among(self, rows: Indices) -> NDArray[np.int8]:
        """As of `Relations`."""
        classes = self._classes[rows]
        relations: NDArray[np.int8] = (classes[:, None] == classes).astype(np.int8)
        return relations


class MarkedRelations:
    """Relations of which marked pairs are excepted, and pictures of which nothing but their marks is known.

    Args:
        base: what is known of all pictures.
        classed: bool (n,), of which pictures it is. The others are unknown to all but those that they are marked with.
        pairs: (p, 2) rows of the manifest, each pair once.
        same: bool (p,), whether the two are marked to be the same.
    """

    def __init__(self, base: Relations, classed: NDArray[np.bool_], pairs: Indices, same: NDArray[np.bool_]) -> None:
        self._base, self._classed = base, classed
        keys = np.concatenate([self._keys(pairs[:, 0], pairs[:, 1]), self._keys(pairs[:, 1], pairs[:, 0])])
        order = np.argsort(keys)
        self._marked, self._same = keys[order], np.concatenate([same, same])[order]

    def among(self, rows: Indices) -> NDArray[np.int8]:
        """As of `Relations`."""
        relations = self._base.among(rows).copy()
        unclassed = ~self._classed[rows]
        relations[unclassed] = relations[:, unclassed] = UNKNOWN
        wanted = self._keys(rows[:, None], rows)
        places = np.searchsorted(self._marked, wanted).clip(max=len(self._marked) - 1)
        marked = self._marked[places] == wanted
        relations[marked] = self._same[places][marked]
        relations[rows[:, None] == rows] = SAME
        return relations

    def _keys(self, one: Indices, other: Indices) -> Indices:
        """A number for each ordered pair."""
        return one * len(self._classed) + other
