"""Averages of the query, or of each hit, with their neighbours, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from bier.method.reranking import parse


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def averaged(vector: np.ndarray, others: list[np.ndarray], n: int, alpha: float) -> np.ndarray:
    total = vector.copy()
    for other in sorted(others, key=lambda other: -float(other @ vector))[:n]:
        total += max(float(other @ vector), 0.0) ** alpha * other
    return unit(total)


@pytest.fixture
def vectors() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    query, *others = [unit(row) for row in random.standard_normal((9, 4)) + 0.6]
    return [query, *sorted(others, key=lambda other: -float(other @ query))]


@pytest.mark.parametrize(("n", "alpha"), [(3, 3.0), (1, 0.5), (8, 1.0), (4, 0.0)])
def test_the_query_is_averaged_with_its_first_hits(vectors: list[np.ndarray], n: int, alpha: float) -> None:
    query, *pool = vectors
    expected = [float(averaged(query, pool, n, alpha) @ hit) for hit in pool]
    scores = parse(f"alpha-qe,n={n},alpha={alpha}").scores(5 * query, 2 * np.stack(pool))
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize(("n", "alpha"), [(3, 3.0), (1, 0.5), (7, 1.0), (4, 0.0)])
def test_each_hit_is_averaged_with_its_neighbours(vectors: list[np.ndarray], n: int, alpha: float) -> None:
    query, *pool = vectors
    expected = []
    for row, hit in enumerate(pool):
        others = [other for position, other in enumerate(pool) if position != row]
        expected.append(float(averaged(hit, others, n, alpha) @ query))
    scores = parse(f"dba,n={n},alpha={alpha}").scores(5 * query, 2 * np.stack(pool))
    assert scores == pytest.approx(expected)
