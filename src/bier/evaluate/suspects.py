"""Which labels are probably wrong: each picture is judged by the others, and never by its own label.

A linear discriminant gives each class a probability: class means, under the covariance within classes, which is shrunk
towards a sphere (Friedman, Regularized Discriminant Analysis, 1989). It is cross-fitted: the pictures of a fold have no
part in what judges them. A picture is the more suspect the less its own class gets: the self-confidence of confident
learning (Northcutt et al., JAIR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bier.errors import DataError

Values = NDArray[np.float32]
Codes = NDArray[np.int64]

SHRINKAGE = 0.9
"""Share of the sphere in the covariance."""
TEMPERATURE = 5.0
"""By which the scores of classes are divided before their exponential."""
FOLDS = 5
SPEAKING = 4
"""Neighbours that are named for the better label."""
TILE = 2048
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Judged:
    """What the others say of each of n pictures."""

    suspicion: NDArray[np.float64]
    """(n,) from 0 to 1: how unlikely the picture's own class is; 0 where it is alone in its class."""
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
    vectors, classes = unit(vectors), int(codes.max()) + 1
    suspicion, best, better = np.zeros(len(codes)), np.zeros(len(codes)), np.zeros_like(codes)
    fold = folds(codes, seed)
    for number in np.unique(fold):
        inside = np.flatnonzero(fold == number)
        discriminant = Discriminant.of(vectors[fold != number], codes[fold != number], classes)
        for rows in np.split(inside, range(TILE, len(inside), TILE)):
            chances, places = discriminant.chances(vectors[rows]), np.arange(len(rows))
            suspicion[rows] = 1 - chances[places, codes[rows]]
            chances[places, codes[rows]] = -1
            better[rows], best[rows] = chances.argmax(1), chances.max(1)
    suspicion[np.bincount(codes)[codes] == 1] = 0  # no other picture knows this class
    neighbours = speaking(vectors, codes, np.arange(len(codes)), better)
    return Judged(suspicion, best > 1 - suspicion, better, neighbours)


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


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Gives each of a number of classes a chance."""

    weights: NDArray[np.float32]
    """(D, classes)"""
    offsets: NDArray[np.float64]
    """(classes,); minus infinity for a class without pictures."""

    @classmethod
    def of(cls, vectors: Values, codes: Codes, classes: int) -> Discriminant:
        counts = np.bincount(codes, minlength=classes)
        means = np.zeros((classes, vectors.shape[1]), dtype=np.float32)
        np.add.at(means, codes, vectors)
        means /= np.maximum(counts, 1)[:, None]
        found = cls.between(means, covariance(vectors - means[codes]))
        return cls(found.weights, np.where(counts > 0, found.offsets, -np.inf))

    @classmethod
    def between(cls, means: Values, within: NDArray[np.float64]) -> Discriminant:
        """Between means (C, D), under the covariance (D, D) within classes."""
        weights = np.linalg.solve(within, means.T)
        return cls(weights.astype(np.float32), -0.5 * (means.T * weights).sum(0))

    def chances(self, vectors: Values) -> NDArray[np.float64]:
        """(n, classes), each row sums to 1."""
        scores = (vectors @ self.weights + self.offsets) / TEMPERATURE
        chances = np.exp(scores - scores.max(1, keepdims=True))
        normalised: NDArray[np.float64] = chances / chances.sum(1, keepdims=True)
        return normalised


def covariance(residuals: Values) -> NDArray[np.float64]:
    """(D, D) of residuals (n, D), shrunk towards a sphere."""
    own = (residuals.T @ residuals).astype(np.float64) / len(residuals)
    sphere = max(float(np.trace(own)) / len(own), _LEAST) * np.eye(len(own))
    return (1 - SHRINKAGE) * own + SHRINKAGE * sphere


def speaking(vectors: Values, codes: Codes, rows: Codes, better: Codes) -> Codes:
    """(e, `SPEAKING`) the nearest pictures of some classes, nearest first; -1 where there are fewer.

    Args:
        vectors: (n, D), each of length 1.
        codes: (n,) classes.
        rows: (e,) the pictures to which they are near.
        better: (e,) the class of each; -1 for none.
    """
    found = np.full((len(rows), SPEAKING), -1)
    for one in np.unique(better[better >= 0]):
        entries, members = np.flatnonzero(better == one), np.flatnonzero(codes == one)
        order = np.argsort(-(vectors[rows[entries]] @ vectors[members].T), axis=1, kind="stable")[:, :SPEAKING]
        found[entries, : order.shape[1]] = members[order]
    return found


def unit(vectors: Values) -> Values:
    """(n, D), each of length 1."""
    found: Values = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST)
    return found
