"""Which pictures form a batch: P classes x K images, planned for a whole epoch from (seed, epoch) alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bier.errors import ConfigError, DataError

Indices = NDArray[np.int64]

LARGE = 25_000_000
"""Classes times batches from which on a plan is drawn in time that grows with the pictures alone."""


class BatchPlan:
    """Batches of P distinct classes with K images each (all classes, where there are fewer than P).

    Every image is used at least once in an epoch. A class of n images appears in at least ceil(n / K) batches; the
    last of them is filled up with other images of the class, and a class with fewer than K images repeats them.
    An epoch is as long as the images need, or as the largest class needs; what is then missing comes from
    classes in proportion to their size. A class appears in batches at random over the epoch.

    There are two ways to draw a plan: batch by batch, and in laps (see `_laps`). Both keep these rules. `linear` says
    which one is taken: the second for large data sets.

    With several processes a batch is cut by whole classes: process ``rank`` gets classes
    ``rank * P / world`` to ``(rank + 1) * P / world``, so the parts of all processes in order of rank are exactly
    the batch of one process, and all have the same number of batches.

    Args:
        labels: (n,) class of each image.
        classes_per_batch: P, of the batch of all processes together.
        images_per_class: K.
        seed: of the plan.
        rank: this process.
        world: number of processes.
        rows: (n,) the picture of each label, where pictures have several: each then counts once for each of its labels.

    Raises:
        ConfigError: P or K below two, or P (or the number of classes, if smaller) not divisible by ``world``.
        DataError: one class only, or no class with two images.
    """

    def __init__(
        self,
        labels: NDArray[np.generic],
        classes_per_batch: int,
        images_per_class: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        rows: Indices | None = None,
    ) -> None:
        _at_least_two("classes_per_batch", classes_per_batch)
        _at_least_two("images_per_class", images_per_class)
        _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        _check_classes(sizes)
        self.classes_per_batch = min(classes_per_batch, len(sizes))
        self.images_per_class = images_per_class
        self.seed, self.rank, self.world = seed, rank, world
        if self.classes_per_batch % world:
            raise ConfigError(
                f"{self.classes_per_batch} classes in a batch cannot be shared by {world} processes",
                where="data.classes_per_batch",
                remedy=f"use a multiple of {world}",
            )
        self._codes, self._sizes, self._rows = codes, sizes, rows
        self._needed = -(-sizes // images_per_class)  # (C,) batches that each class must be in
        self.batches = max(
            int(self._needed.max()),
            -(-int(self._needed.sum()) // self.classes_per_batch),
        )
        """Number of batches in every epoch, the same for every rank."""
        self.linear = self.batches * len(sizes) >= LARGE
        """Whether the plan is drawn in laps. A run keeps the way that it began with."""

    def __len__(self) -> int:
        return self.batches

    def epoch(self, epoch: int) -> list[Indices]:
        """The index arrays of this rank, one per batch, (P / world * K,) each with the images of a class together."""
        random = np.random.default_rng([self.seed % 2**63, epoch])
        shares = self._shares(random)
        plan = (self._by_lap if self.linear else self._by_row)(shares, random)
        return plan if self._rows is None else [self._rows[batch] for batch in plan]

    def _by_row(self, shares: Indices, random: np.random.Generator) -> list[Indices]:
        """Batch after batch, each drawn from what is left of all classes."""
        members = np.split(np.argsort(self._codes, kind="stable"), np.cumsum(self._sizes)[:-1])
        chunks = [_chunks(m, int(n), self.images_per_class, random) for m, n in zip(members, shares, strict=True)]
        mine = self.classes_per_batch // self.world
        plan = []
        for row in _spread(shares, self.classes_per_batch, self.batches, random):
            # Every class counts down through its chunks, on every rank alike.
            picked = [chunks[c].pop() for c in row]
            plan.append(np.concatenate(picked[self.rank * mine : (self.rank + 1) * mine]))
        return plan

    def _by_lap(self, shares: Indices, random: np.random.Generator) -> list[Indices]:
        """All batches at once; each class goes round its images in one random order."""
        shuffled = random.permutation(len(self._codes))
        images = shuffled[np.argsort(self._codes[shuffled], kind="stable")]  # class after class
        classes = _laps(shares, self.classes_per_batch, self.batches, random)
        # As many images in a row of the circle as a class has are all different.
        places = _turns(classes, shares)[..., None] * self.images_per_class + np.arange(self.images_per_class)
        begins = np.cumsum(self._sizes) - self._sizes
        batches = images[begins[classes, None] + places % self._sizes[classes, None]]
        mine = self.classes_per_batch // self.world
        return list(batches[:, self.rank * mine : (self.rank + 1) * mine].reshape(self.batches, -1))

    def _shares(self, random: np.random.Generator) -> Indices:
        """(C,) number of batches that each class is in; they sum up to batches x P."""
        shares: Indices = self._needed.copy()
        while missing := self.batches * self.classes_per_batch - int(shares.sum()):
            room = np.minimum(self._needed, self.batches - shares)
            extra = random.permutation(np.repeat(np.arange(len(shares)), room))[:missing]
            shares += np.bincount(extra, minlength=len(shares))
        return shares


def _at_least_two(name: str, value: int) -> None:
    if value < 2:
        raise ConfigError(
            f"{value} is too few",
            where=f"data.{name}",
            remedy="a loss over pairs needs 2 or more",
        )


def _check_classes(sizes: Indices) -> None:
    if len(sizes) < 2:
        raise DataError(
            f"the training data has {len(sizes)} class{'es' if len(sizes) != 1 else ''}",
            remedy="training needs at least two classes, so that there is something to tell apart",
        )
    if sizes.max() < 2:
        raise DataError(
            f"none of the {len(sizes)} classes has two images",
            remedy="training needs at least two images of a class",
        )


def _chunks(members: Indices, count: int, size: int, random: np.random.Generator) -> list[Indices]:
    """``count`` chunks of ``size`` images that go round the class; a chunk repeats an image only if it must."""
    if len(members) < size:
        rounds = -(-size // len(members))
        return [np.concatenate([random.permutation(members) for _ in range(rounds)])[:size] for _ in range(count)]
    row = random.permutation(members)
    while len(row) < count * size:
        following = random.permutation(members)
        begun = len(row) % size
        if begun:
            # The next round opens with images that the chunk in progress does not hold yet.
            fresh = following[~np.isin(following, row[-begun:])][: size - begun]
            following = np.concatenate([fresh, following[~np.isin(following, fresh)]])
        row = np.concatenate([row, following])
    return list(row[: count * size].reshape(count, size))


def _spread(shares: Indices, width: int, batches: int, random: np.random.Generator) -> list[Indices]:
    """Rows of ``width`` distinct classes in which class c occurs ``shares[c]`` times.

    Each row draws classes in proportion to what is left of them. A class that is left as often as there are rows
    left has to be in all of them; that there are never more than ``width`` of those follows from the sum of shares.
    """
    left = shares.copy()
    rows = []
    for remaining in range(batches, 0, -1):
        alive = np.flatnonzero(left)
        # The smallest of exponential waiting times with rate `left` are a weighted draw without replacement.
        wait = random.standard_exponential(len(alive)) / left[alive]
        wait[left[alive] == remaining] = -1.0
        row = random.permutation(alive[np.argpartition(wait, width - 1)[:width]])
        left[row] -= 1
        rows.append(row)
    return rows


def _laps(shares: Indices, width: int, batches: int, random: np.random.Generator) -> Indices:
    """(batches, width) classes, distinct in each row; class c occurs ``shares[c]`` times.

    The classes stand in a random line, each as often as it occurs, and the line is cut into ``width`` laps. A lap gives
    one class to each row, in a random order of the rows. Only a class that is cut in two could come into a row twice:
    the second lap then begins with rows that it is not in.
    """
    order = random.permutation(len(shares))
    laps = np.repeat(order, shares[order]).reshape(width, batches)
    table = np.empty((batches, width), dtype=np.int64)
    for lap, classes in enumerate(laps):
        rows = random.permutation(batches)
        if lap and classes[0] == laps[lap - 1, -1]:
            free = rows[table[rows, lap - 1] != classes[0]][: int((classes == classes[0]).sum())]
            others = np.ones(batches, dtype=bool)
            others[free] = False
            rows = np.concatenate([free, rows[others[rows]]])
        table[rows, lap] = classes
    return table


def _turns(classes: Indices, shares: Indices) -> Indices:
    """How often the class of each place occurs before it, row by row."""
    order = np.argsort(classes.ravel(), kind="stable")
    turns = np.empty(classes.size, dtype=np.int64)
    turns[order] = np.arange(classes.size) - np.repeat(np.cumsum(shares) - shares, shares)
    return turns.reshape(classes.shape)
