"""Which labels are probably wrong: each picture is judged by the others, and never by its own label.

Two judges give each class a probability. The first is the vote of the nearest pictures. The second compares the
picture with the mean of every class, and the picture's own fold has no part in these means. A picture is the more
suspect the less its own class gets: the self-confidence of confident learning (Northcutt et al., JAIR 2021), with other
probabilities. On held-out classes it finds more than the margin to the best other class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bier.errors import DataError

Values = NDArray[np.float32]
Codes = NDArray[np.int64]

NEIGHBOURS = 20
"""That vote."""
TEMPERATURE = 0.1
"""By which similarities are divided before their exponential, for both judges."""
FOLDS = 5
SPEAKING = 4
"""Neighbours that are named for the better label."""
_TILE = 2048
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Judged:
    """What the others say of each of n pictures."""

    suspicion: NDArray[np.float64]
    """(n,) from 0 to 1: how unlikely the picture's own class is."""
    doubted: NDArray[np.bool_]
    """(n,) whether another class is more likely."""
    better: Codes
    """(n,) the class that fits best beside the picture's own."""
    neighbours: Codes
    """(n, `SPEAKING`) the nearest pictures of that class, nearest first; -1 where it has fewer."""

    def order(self) -> Codes:
        """Rows, the most suspicious first."""
        ordered: Codes = np.argsort(-self.suspicion, kind="stable")
        return ordered


def judge(vectors: Values, codes: Codes, *, seed: int = 0) -> Judged:
    """How well each label fits.

    Args:
        vectors: (n, D), as an index holds them; similarity is the cosine.
        codes: (n,) classes, 0 and up.
        seed: of the folds.

    Raises:
        DataError: there are fewer than two classes.
    """
    _check(codes)
    vectors = _unit(vectors)
    chances = (_votes(vectors, codes) + _class_means(vectors, codes, folds(codes, seed))) / 2
    rows = np.arange(len(codes))
    own = chances[rows, codes]
    chances[rows, codes] = -1
    better = chances.argmax(1)
    return Judged(1 - own, chances[rows, better] > own, better, _speaking(vectors, codes, better))


def folds(codes: Codes, seed: int, count: int = FOLDS) -> Codes:
    """(n,) the fold of each picture, each class spread over all of them."""
    drawn = np.random.default_rng(seed).permutation(len(codes))
    by_class = drawn[np.argsort(codes[drawn], kind="stable")]
    found = np.empty(len(codes), dtype=np.int64)
    found[by_class] = np.arange(len(codes)) % count
    return found


def _check(codes: Codes) -> None:
    if len(np.unique(codes)) < 2:
        raise DataError(
            "all pictures are of one class, so no other label can fit better",
            where="labels",
            remedy="give pictures of two classes or more",
        )


def _votes(vectors: Values, codes: Codes) -> NDArray[np.float64]:
    """(n, classes): the share of each class among the nearest pictures, the nearer with more weight."""
    count = min(NEIGHBOURS, len(codes) - 1)
    votes = np.zeros((len(codes), codes.max() + 1))
    for top in range(0, len(codes), _TILE):
        rows = np.arange(top, min(top + _TILE, len(codes)))
        similarity = vectors[rows] @ vectors.T
        similarity[rows - top, rows] = -np.inf
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        weight = np.exp((np.take_along_axis(similarity, nearest, 1) - 1) / TEMPERATURE)
        np.add.at(votes, (rows[:, None], codes[nearest]), weight)
    return votes / np.maximum(votes.sum(1, keepdims=True), _LEAST)


def _class_means(vectors: Values, codes: Codes, fold: Codes) -> NDArray[np.float64]:
    """(n, classes): how near each class is by its mean; pictures of the same fold are left out of the means."""
    chances = np.zeros((len(codes), codes.max() + 1))
    for number in np.unique(fold):
        inside = fold == number
        sums = np.zeros((chances.shape[1], vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, codes[~inside], vectors[~inside])
        # A class whose pictures are all in this fold has no mean, and the least similarity.
        similarity = np.where(sums.any(1), vectors[inside] @ _unit(sums).T, -1)
        scores = np.exp((similarity - 1) / TEMPERATURE)
        chances[inside] = scores / scores.sum(1, keepdims=True)
    return chances


def _speaking(vectors: Values, codes: Codes, better: Codes) -> Codes:
    found = np.full((len(codes), SPEAKING), -1)
    for label in np.unique(better):
        rows, members = np.flatnonzero(better == label), np.flatnonzero(codes == label)
        order = np.argsort(-(vectors[rows] @ vectors[members].T), axis=1, kind="stable")[:, :SPEAKING]
        found[rows, : order.shape[1]] = members[order]
    return found


def _unit(vectors: Values) -> Values:
    unit: Values = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST)
    return unit
