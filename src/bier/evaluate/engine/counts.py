"""How many pairs have each score, in memory that does not grow with their number.

Cosines are multiples of 2^-24 between -1 and 1 (see `bier.evaluate.engine.table`), so there are 2^25 + 1 of them. Few
pairs are kept in a list; many are counted in an array with a cell for each score, whose pages the system hands out as
they are used.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.evaluate.engine.table import Indices
from bier.system.processes import Processes

STEPS = 1 << 24
"""Cells from cosine 0 to cosine 1."""

_BLOCK = 4096
"""Cells that are added up at once."""

_CELLS = 2 * STEPS + _BLOCK

_ROOM = 1 << 22
"""Pairs that are kept in a list."""


def cells(scores: Tensor) -> Tensor:
    """The cell of each cosine, int32: 0 is -1, and `STEPS` is 0."""
    return (scores * STEPS).int().add_(STEPS)


def cosines(numbers: Indices) -> NDArray[np.float64]:
    """The cosine of each cell."""
    return (numbers - STEPS) / STEPS


class ScoreCounts:
    """Of one kind of pairs: first all of them are added, then one question is asked."""

    def __init__(self) -> None:
        self._list: NDArray[np.int32] = np.empty(_ROOM, np.int32)
        self._listed = 0
        self._counts: Indices | None = None

    def add(self, found: Tensor) -> None:
        """Count the cells of some pairs, a tensor of any shape."""
        flat = found.flatten()
        if flat.device.type == "cpu":
            self._add(flat.numpy())
        else:
            self._array()[:] += torch.bincount(flat, minlength=_CELLS).cpu().numpy()

    def _add(self, numbers: NDArray[np.int32]) -> None:
        while len(numbers):
            if self._listed == len(self._list):
                self._empty_list()
            some = numbers[: len(self._list) - self._listed]
            self._list[self._listed : self._listed + len(some)] = some
            self._listed += len(some)
            numbers = numbers[len(some) :]

    def _array(self) -> Indices:
        if self._counts is None:
            self._counts = np.zeros(_CELLS, np.int64)
        return self._counts

    def _empty_list(self) -> None:
        listed = self._list[: self._listed]
        listed.sort()  # neighbours in memory are counted several times faster
        np.add.at(self._array(), listed, 1)
        self._listed = 0

    def distinct(self, processes: Processes) -> tuple[Indices, Indices]:
        """The cells that hold any, ascending, and how many; of all processes."""
        if self._counts is None and processes.world == 1:
            listed, counts = np.unique(self._list[: self._listed], return_counts=True)
            return listed.astype(np.int64), counts
        self._empty_list()
        every = processes.sum(self._array())
        found = np.flatnonzero(every)
        return found, every[found]

    def beside(self, cells: Indices, processes: Processes) -> tuple[Indices, Indices, int]:
        """How many pairs lie below each of these ascending cells, and in it, and how many in all; of all processes."""
        if self._counts is None and processes.world == 1:
            listed = np.sort(self._list[: self._listed])
            below = np.searchsorted(listed, cells)
            return below, np.searchsorted(listed, cells, side="right") - below, len(listed)
        self._empty_list()
        blocks = processes.sum(self._array()).reshape(-1, _BLOCK)
        before = np.cumsum(blocks.sum(1))
        below = np.empty(len(cells), np.int64)
        used, first = np.unique(cells // _BLOCK, return_index=True)
        for block, some in zip(used, np.split(np.arange(len(cells)), first[1:]), strict=True):
            until = np.cumsum(blocks[block])[cells[some] % _BLOCK]
            below[some] = before[block] - blocks[block].sum() + until
        equal = blocks.reshape(-1)[cells]
        return below - equal, equal, int(before[-1])
