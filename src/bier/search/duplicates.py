"""Pictures that are nearly the same, in groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bier.errors import SearchError
from bier.search.base import Index, Vectors

_TILE = 2048


def duplicate_groups(index: Index, threshold: float = 0.98) -> list[list[str]]:
    """Ids in groups of two and more, the largest group first.

    Pictures whose cosine similarity reaches the threshold are in one group, and so are those that are connected by
    others. Every pair is compared, a tile at a time.

    Raises:
        SearchError: the threshold is not in 0..1.
    """
    if not 0 < threshold <= 1:
        raise SearchError(f"threshold {threshold} is not a similarity", remedy="choose one above 0, at most 1")
    batches = list(index.scan())
    if not batches:
        return []
    ids = [name for rows in batches for name in rows.ids]
    group = components(np.concatenate([rows.vectors for rows in batches]), threshold)
    members: dict[int, list[str]] = {}
    for name, number in zip(ids, group.tolist(), strict=True):
        members.setdefault(number, []).append(name)
    groups = [sorted(names) for names in members.values() if len(names) > 1]
    return sorted(groups, key=lambda names: (-len(names), names))


def components(vectors: Vectors, threshold: float) -> NDArray[np.int64]:
    """(n,) number of the group of each row, which may be a group of one."""
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    group = np.arange(len(vectors))
    for top in range(0, len(vectors), _TILE):
        for left in range(top, len(vectors), _TILE):
            # A little below, for equal pictures at the threshold 1.
            close = vectors[top : top + _TILE] @ vectors[left : left + _TILE].T >= threshold - 1e-6
            rows, columns = np.nonzero(close)
            group = _joined(group, group[rows + top], group[columns + left])
    return group


def _joined(group: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    different = one != other
    if not different.any():
        return group
    links = np.ones(int(different.sum()), dtype=bool)
    size = len(group)
    _, number = connected_components(coo_array((links, (one[different], other[different])), (size, size)), False)
    renumbered: NDArray[np.int64] = number[group].astype(np.int64)
    return renumbered
