"""Re-ranking by k-reciprocal encodings, against the published formulas written as sets and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bier.method.reranking import parse
from bier.method.reranking.k_reciprocal import KReciprocal


def by_the_paper(vectors: np.ndarray, k1: int, k2: int, share: float) -> list[float]:
    """``d*`` of picture 0, the probe, to each other one: equations 2 to 12, a set at a time."""
    count = len(vectors)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = [[float(((a - b) ** 2).sum()) for b in vectors] for a in vectors]

    def nearest(p: int, k: int) -> list[int]:
        others = sorted((i for i in range(count) if i != p), key=lambda i: (distance[p][i], i))
        return [p, *others[:k]]

    def reciprocal(p: int, k: int) -> set[int]:
        return {i for i in nearest(p, k) if p in nearest(i, k)}

    def expanded(p: int) -> set[int]:
        core = reciprocal(p, k1)
        found = set(core)
        for q in core:
            half = reciprocal(q, math.ceil(k1 / 2))
            if len(core & half) >= 2 / 3 * len(half):
                found |= half
        return found

    members = [expanded(p) for p in range(count)]
    encoded = [[math.exp(-distance[p][i]) if i in members[p] else 0.0 for i in range(count)] for p in range(count)]
    near = [nearest(p, k2 - 1) for p in range(count)]
    averaged = [[sum(encoded[g][i] for g in near[p]) / k2 for i in range(count)] for p in range(count)]

    def jaccard(p: int, g: int) -> float:
        pairs = list(zip(averaged[p], averaged[g], strict=True))
        return 1 - sum(map(min, pairs)) / sum(map(max, pairs))

    return [(1 - share) * jaccard(0, g) + share * distance[0][g] for g in range(1, count)]


@pytest.mark.parametrize(("k1", "k2", "share"), [(6, 3, 0.3), (5, 1, 0.0), (9, 9, 0.5), (1, 1, 0.9), (24, 6, 0.3)])
def test_distances_are_those_of_the_paper(k1: int, k2: int, share: float) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        classes = random.standard_normal((5, 8))
        vectors = classes[random.integers(5, size=25)] + 0.5 * random.standard_normal((25, 8))
        scores = KReciprocal(k1=k1, k2=k2, lambda_=share, first=24).scores(vectors[0], vectors[1:])
        assert 1 - scores == pytest.approx(by_the_paper(vectors, k1, k2, share), abs=1e-5)


def test_a_bridge_is_not_a_neighbour() -> None:
    """A wrong picture that is nearer than some right ones falls behind them: nobody of its own neighbours is here."""
    angles = np.radians([0, 4, 8, 12, 16, -14, -15, -16, -17, -18])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    order = np.argsort(-(vectors[1:] @ vectors[0])) + 1
    assert 5 in order[:4], "the bridge stands among the four right ones"
    scores = parse("k-reciprocal,k1=4,k2=1").scores(vectors[0], vectors[order])
    assert set(order[np.argsort(-scores)][:4]) == {1, 2, 3, 4}


def test_a_duplicate_does_not_take_a_pictures_own_place() -> None:
    vectors = np.repeat(np.random.default_rng(0).standard_normal((1, 6)), 12, axis=0)
    scores = parse("k-reciprocal,k1=3,k2=2").scores(vectors[0], vectors[1:])
    assert np.isfinite(scores).all()
    assert scores.max() <= 1 + 1e-9
