"""Averages of vectors and their neighbours: of the query (alpha-QE), or of the gallery (database augmentation, DBA).

A neighbour weighs ``max(s, 0)^alpha``, where s is its cosine; the vector itself weighs 1 (Radenovic, Tolias and Chum,
"Fine-tuning CNN image retrieval with no human annotation", TPAMI 2018, section 3.4). The same average for vectors of
the gallery is Turcot and Lowe's augmentation (ICCV workshops 2009). Here neighbours come from the first hits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bier.method.reranking.method import MOST, Reranking, Scores, Vectors, unit


@dataclass(frozen=True, kw_only=True)
class _Averaging(Reranking):
    n: int = 10
    """Neighbours in an average."""
    alpha: float = 3.0
    """How much the nearer ones count; 0: all alike."""

    @property
    def neighbours(self) -> int:
        return self.n

    def check_options(self) -> None:
        self._check("n", self.n, 1, MOST)
        self._check("alpha", self.alpha, 0, 100)

    def fewer(self, pictures: int) -> str:
        return f"{self.name},n={max(1, pictures - 1)}"

    def weights(self, cosines: NDArray[np.float64]) -> NDArray[np.float64]:
        """``max(s, 0)^alpha``."""
        weights: NDArray[np.float64] = np.maximum(cosines, 0.0) ** self.alpha
        return weights


class AlphaQE(_Averaging):
    """The query is replaced by the average of itself and its first hits."""

    name: ClassVar[str] = "alpha-qe"

    def scores(self, query: Vectors, pool: Vectors) -> Scores:
        asked, found = unit(query), unit(pool)
        nearest = found[: self.n]
        scores: Scores = found @ unit(asked + self.weights(nearest @ asked) @ nearest)
        return scores


class Augmentation(_Averaging):
    """Each hit is replaced by the average of itself and its neighbours among the first hits; the query is none."""

    name: ClassVar[str] = "dba"

    def scores(self, query: Vectors, pool: Vectors) -> Scores:
        found = unit(pool)
        cosines = found @ found.T
        np.fill_diagonal(cosines, np.inf)  # first of its own neighbours, whoever else is equal
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, 1 : self.n + 1]
        weights = np.eye(len(found))
        np.put_along_axis(weights, nearest, self.weights(np.take_along_axis(cosines, nearest, axis=1)), axis=1)
        scores: Scores = unit(weights @ found) @ unit(query)
        return scores


MEMBERS = {method.name: method for method in (AlphaQE, Augmentation)}
