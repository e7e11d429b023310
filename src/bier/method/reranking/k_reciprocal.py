"""k-reciprocal encoding: two pictures are alike if they are among each other's neighbours, and share such neighbours.

Zhong, Zheng, Cao and Li, "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017. Their gallery is
the first hits here, and the query among them. A picture is the first of its own neighbours, as is usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bier.method.reranking.method import MOST, Reranking, Scores, Vectors, unit

Matrix = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class KReciprocal(Reranking):
    """Ranks by ``(1 - lambda) d_J + lambda d``: Jaccard distance of encodings, and squared distance of vectors."""

    name: ClassVar[str] = "k-reciprocal"
    k1: int = 20
    """Neighbours of each picture; about as many as a class has pictures."""
    k2: int = 6
    """Pictures whose encodings are averaged, itself among them; 1: none are."""
    lambda_: float = 0.5
    """Share of the plain distance in the end."""

    @property
    def neighbours(self) -> int:
        return self.k1

    def check_options(self) -> None:
        self._check("k1", self.k1, 1, MOST)
        self._check("k2", self.k2, 1, self.k1)
        self._check("lambda", self.lambda_, 0, 1)

    def fewer(self, pictures: int) -> str:
        k1 = max(1, min(self.k1, pictures // 2))
        return f"{self.name},k1={k1},k2={min(self.k2, k1)}"

    def scores(self, query: Vectors, pool: Vectors) -> Scores:
        """``1 - d*``, of equation 12: 1 is the query itself."""
        vectors = unit(np.concatenate([query[None], pool]))
        cosines = vectors @ vectors.T
        encoded = encodings(cosines, self.k1, self.k2)
        distances = squared_distances(cosines[0, 1:])
        scores: Scores = 1 - (1 - self.lambda_) * jaccard(encoded[0], encoded[1:]) - self.lambda_ * distances
        return scores


def squared_distances(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """``||a - b||^2`` of vectors of length 1."""
    distances: NDArray[np.float64] = 2 - 2 * cosines
    return distances


def encodings(cosines: NDArray[np.float64], k1: int, k2: int) -> Matrix:
    """(n, n): row p is ``V_p``, how much each picture belongs to p's neighbourhood (equations 7 and 11).

    Args:
        cosines: (n, n) of all pairs of pictures.
        k1: neighbours, fewer than n.
        k2: encodings that are averaged.
    """
    own = cosines.copy()
    np.fill_diagonal(own, np.inf)
    order = np.argsort(-own, axis=1, kind="stable")
    near, nearer = (reciprocal(order[:, : k + 1]) for k in (k1, (k1 + 1) // 2))
    # Equation 5: a neighbour's nearer neighbours come along if two thirds of them are here already.
    shared = near @ nearer.T
    enough = near * (shared >= 2 / 3 * nearer.sum(1))
    expanded = near + enough @ nearer > 0
    encoded = np.where(expanded, np.exp(-squared_distances(cosines)), 0).astype(np.float32)
    averaged: Matrix = members(order[:, :k2]) @ encoded / np.float32(k2)
    return averaged


def members(rows: NDArray[np.int64]) -> Matrix:
    """(n, n) 0 or 1: whether column j is listed in row i of (n, k)."""
    matrix = np.zeros((len(rows), len(rows)), dtype=np.float32)
    np.put_along_axis(matrix, rows, 1.0, axis=1)
    return matrix


def reciprocal(rows: NDArray[np.int64]) -> Matrix:
    """(n, n) 0 or 1: whether i and j list each other (equation 3)."""
    matrix = members(rows)
    return matrix * matrix.T


def jaccard(one: Matrix, others: Matrix) -> NDArray[np.float64]:
    """(m,) ``1 - sum min / sum max`` of an encoding (n,) with others (m, n) (equation 10)."""
    columns = np.flatnonzero(one)  # elsewhere the smaller one is 0
    shared = np.minimum(one[columns], others[:, columns]).sum(1, dtype=np.float64)
    either = one.sum(dtype=np.float64) + others.sum(1, dtype=np.float64) - shared
    distances: NDArray[np.float64] = 1 - shared / either
    return distances


MEMBERS = {KReciprocal.name: KReciprocal}
