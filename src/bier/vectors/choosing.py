"""Which pictures of a catalogue to label: each stands for many others that no labelled picture is like.

The greedy choice for facility location (Nemhauser et al., Mathematical Programming, 1978): the next picture is the one
that adds most to how well every picture of the catalogue is represented by the most similar of those chosen and those
labelled already. What memory cannot hold is chosen from tile by tile, and a chosen picture then counts for all that it
stands for (Mirzasoleiman et al., Distributed Submodular Maximization, 2013).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from bier.errors import DataError
from bier.vectors.near import Rows, VectorFile, Vectors

SHARPNESS = 0.05
"""Difference of cosines over which the chance of a class falls to 1 / e."""
COPY = 0.995
"""Cosine from which two pictures are taken for copies, of which one is proposed."""
_TILE = 4096
_LABELLED_TILE = 8192
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures whose classes are known."""

    vectors: Vectors
    """(n, D), of length 1."""
    codes: Rows
    """(n,), 0 and up."""
    means: Vectors
    """(C, D), of each class, of length 1."""

    @classmethod
    def of(cls, vectors: Vectors, codes: Rows) -> Labelled:
        """With the means of the classes; each class has a picture."""
        sums = np.zeros((int(codes.max()) + 1, vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, codes, vectors)
        return cls(vectors, codes, sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), _LEAST))

    def covers(self, vectors: Vectors) -> Vectors:
        """(q,) the cosine to the nearest labelled picture."""
        best = np.full(len(vectors), -1, dtype=np.float32)
        for start in range(0, len(self.vectors), _LABELLED_TILE):
            np.maximum(best, (vectors @ self.vectors[start : start + _LABELLED_TILE].T).max(1), out=best)
        return best

    def typical(self) -> Rows:
        """(C,) the picture of each class that is nearest to its mean."""
        nearness = (self.vectors * self.means[self.codes]).sum(1)
        order = np.lexsort((-nearness, self.codes))
        first: Rows = order[np.searchsorted(self.codes[order], np.arange(len(self.means)))]
        return first

    def ranked(self, vectors: Vectors) -> tuple[Rows, Vectors]:
        """(q, C) the classes by the cosine to their means, best first, and these cosines."""
        cosines = vectors @ self.means.T
        order = np.argsort(-cosines, axis=1, kind="stable")
        return order, np.take_along_axis(cosines, order, axis=1)

    def doubt(self, vectors: Vectors) -> Vectors:
        """(q,) 1 less the lead of the best class's chance over the second's: 0 to 1."""
        _, cosines = self.ranked(vectors)
        chances = np.exp((cosines - cosines[:, :1]) / SHARPNESS)
        second = chances[:, 1] if chances.shape[1] > 1 else np.zeros(len(chances), dtype=np.float32)
        found: Vectors = 1 - (1 - second) / chances.sum(1)
        return found


@dataclass(frozen=True, eq=False)
class Choice:
    """Pictures to label, the most useful first."""

    rows: Rows
    """(k,)"""
    stands_for: Rows
    """(k,) pictures of the catalogue that are more like it than like any other that is chosen or labelled."""


def choose(vectors: VectorFile, labelled: Labelled, count: int, doubt: float = 0.0) -> Choice:
    """The pictures whose labels help most.

    Memory is that of a tile's similarities, and does not grow with the catalogue.

    Args:
        vectors: of the catalogue; one at least.
        labelled: the pictures that have labels.
        count: pictures to choose; there are fewer where the catalogue has fewer, copies left out.
        doubt: 0 to 1, how much more a picture between two classes counts. More than 0 did not help
            (docs/experiments.md).

    Raises:
        DataError: every picture is a copy of a labelled one.
    """
    rows, kept = np.empty(0, dtype=np.int64), vectors.rows(0, 0)
    mass = np.empty((0, 2), dtype=np.float32)  # what each counts, and pictures that it stands for
    for start in range(0, len(vectors), _TILE):
        tile = vectors.rows(start, start + _TILE)
        weights = 1 - doubt + doubt * labelled.doubt(tile)
        rows = np.concatenate([rows, np.arange(start, start + len(tile))])
        pool = np.concatenate([kept, tile])
        mass = np.concatenate([mass, np.stack([weights, np.ones_like(weights)], axis=1)])
        chosen, mass = _greedy(pool, mass, labelled.covers(pool), count)
        rows, kept = rows[chosen], pool[chosen]
    if not len(rows):
        raise DataError(
            "every picture is a copy of one that has a label",
            where="the catalogue",
            remedy="give pictures that have no labels yet",
        )
    return Choice(rows, mass[:, 1].round().astype(np.int64))


def _greedy(pool: Vectors, mass: Vectors, covered: Vectors, count: int) -> tuple[Rows, Vectors]:
    """Places in the pool, and the mass of all that each stands for.

    A gain only falls while others are chosen, so one that is still the largest when it is computed again is the next.
    """
    similar, weights = pool @ pool.T, mass[:, 0]
    best, chosen = covered.copy(), list[int]()
    gains = [(-float(weights @ np.maximum(row - best, 0)), place) for place, row in enumerate(similar)]
    heapq.heapify(gains)
    while gains and len(chosen) < count:
        _, place = heapq.heappop(gains)
        if max(similar[place, chosen].max(initial=-1), covered[place]) >= COPY:
            continue
        gain = float(weights @ np.maximum(similar[place] - best, 0))
        if gains and (-gain, place) > gains[0]:
            heapq.heappush(gains, (-gain, place))
        else:
            chosen.append(place)
            np.maximum(best, similar[place], out=best)
    return np.array(chosen, dtype=np.int64), _shared(similar[:, chosen], mass, covered)


def _shared(similar: Vectors, mass: Vectors, covered: Vectors) -> Vectors:
    """The mass (k, 2) of what is most like each of k chosen pictures; what a labelled one covers better is nobody's."""
    found = np.zeros((similar.shape[1], 2), dtype=np.float32)
    if len(found):
        own = similar.max(1) > covered
        np.add.at(found, similar.argmax(1)[own], mass[own])
    return found
