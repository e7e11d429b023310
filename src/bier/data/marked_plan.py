"""Batches in which marked pairs meet: some places of each batch are theirs, the others are planned by class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bier.data.sampler import BatchPlan, Indices
from bier.errors import ConfigError

LARGEST_SHARE = 1 / 4
"""Of a batch that marked pairs may take."""


class MarkedPlan:
    """Batches as of a `BatchPlan`, in which marked pairs take the places of one class in four at most.

    They take as few classes' places as let every pair meet once in an epoch. Pairs come round by round: each pair once,
    in a random order, before any comes again. Every image with a class is still used at least once in an epoch. The
    plan depends on (seed, epoch) alone, and the parts of all processes are exactly the batch of one.

    Args:
        classes: (e,) of images that have one; an image may have several.
        rows: (e,) the image of each. Images without a class come in pairs only.
        pairs: (p, 2) images, one pair or more.
        classes_per_batch: P, of the batch of all processes together, the places of pairs included.
        images_per_class: K.
        seed: of the plan.
        rank: this process.
        world: number of processes.

    Raises:
        ConfigError: as `BatchPlan`; or P below three.
        DataError: as `BatchPlan`.
    """

    def __init__(
        self,
        classes: NDArray[np.generic],
        rows: Indices,
        pairs: Indices,
        classes_per_batch: int,
        images_per_class: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if classes_per_batch < 3:
            raise ConfigError(
                f"{classes_per_batch} leaves no place for marked pairs beside two classes",
                where="data.classes_per_batch",
                remedy="use 3 or more with --marks",
            )
        self._rows, self._pairs = rows, pairs
        for places in range(1, max(1, int(classes_per_batch * LARGEST_SHARE)) + 1):
            self._by_class = BatchPlan(classes, classes_per_batch - places, images_per_class, seed)
            self._places = places * images_per_class
            if len(self) * (self._places // 2) >= len(pairs):
                break
        self.classes_per_batch = self._by_class.classes_per_batch + places
        if self.classes_per_batch % world:
            raise ConfigError(
                f"{self.classes_per_batch} classes in a batch cannot be shared by {world} processes",
                where="data.classes_per_batch",
                remedy=f"use a multiple of {world}",
            )
        self.images_per_class, self.seed, self.rank, self.world = images_per_class, seed, rank, world

    def __len__(self) -> int:
        return len(self._by_class)

    @property
    def linear(self) -> bool:
        """As of `BatchPlan`."""
        return self._by_class.linear

    @linear.setter
    def linear(self, way: bool) -> None:
        self._by_class.linear = way

    def epoch(self, epoch: int) -> list[Indices]:
        """The index arrays of this rank, one per batch, (P / world * K,)."""
        mine = self.classes_per_batch // self.world * self.images_per_class
        own = slice(self.rank * mine, (self.rank + 1) * mine)
        by_class = self._by_class.epoch(epoch)
        return [
            np.concatenate([marked, self._rows[rows]])[own]
            for marked, rows in zip(self._marked(epoch), by_class, strict=True)
        ]

    def _marked(self, epoch: int) -> Iterator[Indices]:
        """Rows of the places for pairs, batch after batch."""
        each = self._places // 2
        begin = epoch * len(self) * each
        turns = self._turns(begin, begin + len(self) * each).reshape(len(self), each)
        for pairs in self._pairs[turns]:
            yield np.resize(pairs.ravel(), self._places)  # an odd place is filled up with the first picture

    def _turns(self, begin: int, end: int) -> Indices:
        """Which pairs come at these places of an endless row of rounds."""
        count = len(self._pairs)
        rounds = range(begin // count, -(-end // count))
        drawn = [np.random.default_rng([self.seed % 2**63, turn, count]).permutation(count) for turn in rounds]
        return np.concatenate(drawn)[begin - rounds[0] * count : end - rounds[0] * count]
