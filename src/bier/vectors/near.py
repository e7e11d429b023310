"""Vectors that are nearly the same, among more than memory holds: a file of unit vectors, compared tile by tile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]

_LEAST = 1e-12
_TILE = 2048
_TILES_AT_ONCE = 8
_WAITING = 1_000_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of rows."""

    one: Rows
    other: Rows
    similarity: Vectors
    """The cosine of each pair."""

    @classmethod
    def none(cls) -> Pairs:
        empty = np.empty(0, dtype=np.int64)
        return cls(empty, empty, empty.astype(np.float32))

    @classmethod
    def together(cls, parts: Sequence[Pairs]) -> Pairs:
        columns = [(part.one, part.other, part.similarity) for part in parts]
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def __len__(self) -> int:
        return len(self.one)

    def take(self, chosen: NDArray[np.bool_] | Rows) -> Pairs:
        """Those at some places, or under a mask."""
        return Pairs(self.one[chosen], self.other[chosen], self.similarity[chosen])


class VectorFile:
    """Unit vectors in a temporary file, which is gone at the end of a ``with``."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end of `with`)
        self._count = self._width = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, vectors: Vectors) -> None:
        """Add vectors (n, D) of any length."""
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST)
        self._file.write(np.ascontiguousarray(unit, dtype=np.float32).tobytes())
        self._count, self._width = self._count + len(unit), unit.shape[1]

    def rows(self, start: int, stop: int) -> Vectors:
        """Vectors of consecutive rows."""
        self._file.seek(4 * start * self._width)
        content = self._file.read(4 * (min(stop, self._count) - start) * self._width)
        return np.frombuffer(content, dtype=np.float32).reshape(-1, self._width)

    def some(self, rows: Rows) -> Vectors:
        """Vectors (k, D) of k rows."""
        return np.concatenate([self.rows(0, 0), *(self.rows(row, row + 1) for row in rows.tolist())])


def close_pairs(vectors: VectorFile, threshold: float) -> Iterator[Pairs]:
    """Every pair of two rows whose cosine reaches the threshold, tile by tile."""
    block = _TILE * _TILES_AT_ONCE
    for top in range(0, len(vectors), block):
        upper = vectors.rows(top, top + block)
        for left in range(top, len(vectors), _TILE):
            lower = vectors.rows(left, left + _TILE)
            for start in range(0, min(len(upper), left - top + 1), _TILE):
                yield _close(upper[start : start + _TILE], top + start, lower, left, threshold)


def _close(one: Vectors, top: int, other: Vectors, left: int, threshold: float) -> Pairs:
    similarity = one @ other.T
    # A little below, for equal pictures at the threshold 1.
    rows, columns = np.nonzero(similarity >= threshold - 1e-6)
    earlier = rows + top < columns + left
    rows, columns = rows[earlier], columns[earlier]
    return Pairs(rows + top, columns + left, similarity[rows, columns])


def forest(vectors: VectorFile, threshold: float) -> Pairs:
    """The most similar pairs that connect whatever the threshold connects; fewer of them than rows."""
    group, kept = np.arange(len(vectors)), [Pairs.none()]
    for pairs in close_pairs(vectors, threshold):
        apart = pairs.take(group[pairs.one] != group[pairs.other])
        if len(apart):
            tree = apart.take(_tree(group[apart.one], group[apart.other], apart.similarity))
            kept.append(tree)
            group = _joined(group, group[tree.one], group[tree.other])
    return Pairs.together(kept)


def nearest_pairs(vectors: VectorFile, threshold: float, most: int) -> Pairs:
    """Pairs from a threshold on that are among the ``most`` best of either row."""
    kept, waiting = Pairs.none(), [Pairs.none()]
    for pairs in close_pairs(vectors, threshold):
        waiting.append(pairs)
        if sum(map(len, waiting)) > _WAITING:
            kept, waiting = _best(Pairs.together([kept, *waiting]), most), []
    return _best(Pairs.together([kept, *waiting]), most)


def groups(pairs: Pairs, count: int) -> list[Rows]:
    """Rows that pairs connect, a group each."""
    group = _joined(np.arange(count), pairs.one, pairs.other)
    members = np.unique(np.concatenate([pairs.one, pairs.other]))
    order = members[np.argsort(group[members], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []


def _best(pairs: Pairs, most: int) -> Pairs:
    """Those that are among the ``most`` best of either row."""
    kept = np.zeros(len(pairs), dtype=bool)
    row, pair = np.concatenate([pairs.one, pairs.other]), np.tile(np.arange(len(pairs)), 2)
    order = np.lexsort((-pairs.similarity[pair], row))
    first = np.searchsorted(row[order], row[order])
    kept[pair[order][np.arange(len(order)) - first < most]] = True
    return pairs.take(kept)


def _tree(one: Rows, other: Rows, similarity: Vectors) -> Rows:
    """Which pairs of groups make a tree of the most similar ones."""
    size = int(max(one.max(), other.max())) + 1
    order = np.argsort(-similarity, kind="stable")
    low, high = np.minimum(one, other)[order], np.maximum(one, other)[order]
    _, first = np.unique(low * size + high, return_index=True)
    place = coo_array((first + 1.0, (low[first], high[first])), (size, size))
    chosen: Rows = order[minimum_spanning_tree(place.tocsr()).data.astype(np.int64) - 1]
    return chosen


def _joined(group: Rows, one: Rows, other: Rows) -> Rows:
    """The numbers of groups after these have become one each."""
    size = len(group)
    _, number = connected_components(coo_array((np.ones(len(one), dtype=bool), (one, other)), (size, size)), False)
    renumbered: Rows = number[group].astype(np.int64)
    return renumbered
