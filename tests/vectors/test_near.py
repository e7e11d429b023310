"""Pairs across tiles: each is found once, trees connect what all pairs connect."""

from __future__ import annotations

import numpy as np

from bier.vectors.near import Pairs, VectorFile, close_pairs, forest, groups, nearest_pairs


def filled(vectors: np.ndarray) -> VectorFile:
    file = VectorFile()
    for part in np.array_split(vectors, 3):
        file.append(part.astype(np.float32))
    return file


def chain() -> tuple[np.ndarray, list[int]]:
    """Six of 5,000 vectors are a chain over the borders of tiles: neighbours are close, its ends are not."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((5000, 64))
    place = random.permutation(5000)[:6]
    angles = np.arange(6) * 0.15  # cos 0.15 = 0.989, cos 0.30 = 0.955
    vectors[place] = 0
    vectors[place, 0], vectors[place, 1] = 3 * np.cos(angles), 3 * np.sin(angles)
    return vectors, sorted(place.tolist())


def test_a_chain_over_the_borders_of_tiles_is_one_group() -> None:
    vectors, place = chain()
    with filled(vectors) as file:
        assert [rows.tolist() for rows in groups(forest(file, 0.98), 5000)] == [place]
        assert len(forest(file, 0.9)) == 5
        assert len(forest(file, 0.995)) == 0
        pairs = Pairs.together(list(close_pairs(file, 0.95)))
        assert len(pairs) == 5 + 4 and (pairs.one < pairs.other).all()


def test_equal_vectors_need_few_pairs() -> None:
    with filled(np.ones((300, 4))) as file:
        assert len(forest(file, 1.0)) == 299
        assert [len(rows) for rows in groups(forest(file, 1.0), 300)] == [300]


def test_nearest_pairs_are_the_best_of_either_row() -> None:
    angles = np.array([0, 0.1, 0.3, 0.6])
    with filled(np.stack([np.cos(angles), np.sin(angles)], axis=1)) as file:
        pairs = nearest_pairs(file, 0.5, most=1)
    assert sorted(zip(pairs.one.tolist(), pairs.other.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3)]


def test_nothing_has_no_pairs() -> None:
    with VectorFile() as file:
        assert len(forest(file, 0.9)) == 0 and groups(nearest_pairs(file, 0.9, 3), 0) == []
