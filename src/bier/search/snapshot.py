"""An index as it was at one moment, in memory: vectors in blocks, ids and fields in columns.

A later snapshot takes over the vectors that have not changed. So it needs room for what is new alone, also where an
engine has written all of its files anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bier.search.base import Index, Precision, Vectors
from bier.search.cascade import Block, Cascade, Chosen, Stages
from bier.search.columns import Columns

ROWS = 65_536
"""Of a full block: 134 MB of 512 dimensions."""
_KEPT = 7 / 8
"""Share of a block's rows that must count, or it is written anew."""
_GONE = -1


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Some of the rows of the blocks are of the past, and are in no answer."""

    cascade: Cascade
    places: NDArray[np.int32]
    """(N,) where the columns have the picture of each row; -1: it is of the past."""
    columns: Columns

    @cached_property
    def allowed(self) -> NDArray[np.bool_] | None:
        """(N,) rows that count; None: all do."""
        there = self.places != _GONE
        return None if there.all() else there


def empty(index: Index, precision: Precision = "float32") -> Snapshot:
    """A snapshot of nothing, to begin with."""
    stages = Stages(index.info.sizes, precision, index.info.storage)
    return Snapshot(Cascade([], stages), np.empty(0, np.int32), Columns.of([], [], index.info.kinds))


def read(index: Index, before: Snapshot, goes_on: Callable[[], bool] = lambda: True) -> Snapshot | None:
    """The index as it is now.

    Args:
        index: is read through.
        before: an earlier snapshot, whose vectors are taken over where they are the same.
        goes_on: is asked now and then; the answer is None once it says no.

    Raises:
        SearchError: the index is damaged.
    """
    known, filling = _Known(before), _Filling(before.cascade.stages)
    places, fresh, columns, count = np.full(len(before.cascade), _GONE, np.int32), [], [], 0
    for part, vectors in index.scan_columns():
        if not goes_on():
            return None
        own = np.arange(count, count + len(part), dtype=np.int32)
        rows = known.rows(part, vectors)
        same = rows != _GONE
        places[rows[same]] = own[same]
        filling.add(vectors[~same] if same.any() else vectors)
        fresh.append(own[~same])
        columns.append(part.take(own - count))  # a copy: what was read is held as a whole, vectors included
        count += len(part)
    cascade = Cascade([*before.cascade.blocks, *filling.blocks()], before.cascade.stages)
    return Snapshot(cascade, np.concatenate([places, *fresh]), Columns.joined(columns, index.info.kinds))


def tidied(snapshot: Snapshot) -> Iterator[Snapshot]:
    """The same with less and less waste, a block at a time: whoever takes each in turn needs room for one block."""
    while group := _poor(snapshot):
        snapshot = _joined(snapshot, group)
        yield snapshot


class _Known:
    """Finds pictures of an earlier snapshot again, by their ids and vectors."""

    def __init__(self, before: Snapshot) -> None:
        self._cascade = before.cascade
        there = np.flatnonzero(before.places != _GONE)
        hashes = np.fromiter(map(hash, before.columns.ids), np.int64, len(before.columns))[before.places[there]]
        order = np.argsort(hashes)
        self._hashes, self._rows = hashes[order], there[order]
        self._free = np.ones(len(self._cascade), bool)

    def rows(self, columns: Columns, vectors: Vectors) -> Chosen:
        """(n,) the row of each that has the same vector still; -1 where there is none."""
        rows = np.full(len(columns), _GONE, np.int64)
        if not len(self._hashes):
            return rows
        hashes = np.fromiter(map(hash, columns.ids), np.int64, len(columns))
        found = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        maybe = np.flatnonzero(self._hashes[found] == hashes)
        theirs = self._rows[found[maybe]]
        same = (self._cascade.vectors(theirs) == vectors[maybe]).all(1) & self._free[theirs]
        # Of two ids with one hash, one vector is kept once more.
        theirs, first = np.unique(theirs[same], return_index=True)
        self._free[theirs] = False
        rows[maybe[same][first]] = theirs
        return rows


class _Filling:
    """Blocks that are filled with rows. Memory that was never written takes no room."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._full: list[Block] = []
        self._rows, self._count = self._empty(), 0

    def add(self, vectors: Vectors) -> None:
        while len(vectors):
            room = min(ROWS - self._count, len(vectors))
            self._rows[self._count : self._count + room] = vectors[:room]
            self._count, vectors = self._count + room, vectors[room:]
            if self._count == ROWS:
                self._full.append(self._stages.block(self._rows))
                self._rows, self._count = self._empty(), 0

    def blocks(self) -> list[Block]:
        rest = [self._stages.block(self._rows[: self._count].copy())] if self._count else []
        return self._full + rest

    def _empty(self) -> Vectors:
        return np.empty((ROWS, sum(self._stages.sizes)), self._stages.stored)


def _poor(snapshot: Snapshot) -> list[int]:
    """The blocks that are joined next: small ones, or one with much of the past."""
    counts = [int((places != _GONE).sum()) for places in _by_block(snapshot)]
    small, room = list[int](), ROWS
    for number in sorted(range(len(counts)), key=counts.__getitem__):
        room -= counts[number]
        if room >= 0:
            small.append(number)
    if len(small) > 1:
        return small
    lengths = map(len, snapshot.cascade.blocks)
    wasteful = [n for n, (count, length) in enumerate(zip(counts, lengths, strict=True)) if count < _KEPT * length]
    return wasteful[:1]


def _joined(snapshot: Snapshot, group: list[int]) -> Snapshot:
    blocks, stages, places = snapshot.cascade.blocks, snapshot.cascade.stages, _by_block(snapshot)
    others = [number for number in range(len(blocks)) if number not in group]
    there = [places[number] != _GONE for number in group]
    vectors = np.concatenate([blocks[number].vectors[own] for number, own in zip(group, there, strict=True)])
    cascade = Cascade([*(blocks[number] for number in others), stages.block(vectors)], stages)
    left = [places[number][own] for number, own in zip(group, there, strict=True)]
    return Snapshot(cascade, np.concatenate([*(places[number] for number in others), *left]), snapshot.columns)


def _by_block(snapshot: Snapshot) -> list[NDArray[np.int32]]:
    ends = np.cumsum([len(block) for block in snapshot.cascade.blocks], dtype=np.int64)
    return np.split(snapshot.places, ends)[:-1]
