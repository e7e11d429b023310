"""What is chosen to be labelled: one of each group that no label speaks of, never a copy, alike in tiles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bier.errors import DataError
from bier.vectors import choosing
from bier.vectors.choosing import Labelled, choose
from bier.vectors.near import VectorFile, Vectors

WIDTH = 24


def groups(count: int, each: int, spread: float = 0.1, seed: int = 0) -> tuple[Vectors, np.ndarray]:
    """Unit vectors around far points, and the group of each."""
    random = np.random.default_rng(seed)
    of = random.permutation(np.repeat(np.arange(count), each))
    vectors = np.eye(WIDTH, dtype=np.float32)[of] + spread * random.standard_normal((len(of), WIDTH), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), of


def chosen(vectors: Vectors, labelled: Labelled, count: int, doubt: float = 0.0) -> choosing.Choice:
    with VectorFile() as file:
        file.append(vectors)
        return choose(file, labelled, count, doubt)


def test_one_of_each_group_without_labels_comes_first() -> None:
    vectors, of = groups(8, 30)
    with_label = np.flatnonzero(of < 2)[:20]
    others = np.setdiff1d(np.arange(len(of)), with_label)
    found = chosen(vectors[others], Labelled.of(vectors[with_label], of[with_label]), 6)
    assert sorted(of[others][found.rows]) == [2, 3, 4, 5, 6, 7]
    assert found.stands_for.tolist() == [30] * 6


@pytest.mark.parametrize("tile", [7, 50, 64])
def test_tiles_change_little(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_TILE", tile)
    vectors, of = groups(8, 30)
    labelled = Labelled.of(*groups(2, 4, seed=1))
    found = chosen(vectors, labelled, 6)
    assert sorted(of[found.rows]) == [2, 3, 4, 5, 6, 7]
    assert sum(found.stands_for) == 180, "each picture of a group stands behind the one that is chosen"
    assert found.rows.tolist() == chosen(vectors, labelled, 6).rows.tolist()


@pytest.mark.parametrize("doubt", [0, 0.9])
def test_the_greedy_choice_is_nearly_the_best_of_all(doubt: float) -> None:
    vectors, _ = groups(12, 1, spread=0.4)
    labelled = Labelled.of(*groups(2, 2, seed=1))
    weights = 1 - doubt + doubt * labelled.doubt(vectors)

    def gain(rows: tuple[int, ...]) -> float:
        cover = np.maximum((vectors @ vectors[list(rows)].T).max(1), labelled.covers(vectors))
        return float(weights @ (cover - labelled.covers(vectors)))

    best = max(map(gain, itertools.combinations(range(12), 4)))
    found = tuple(chosen(vectors, labelled, 4, doubt).rows.tolist())
    assert gain(found) >= (1 - 1 / np.e) * best
    assert gain(found[:1]) == pytest.approx(max(gain((row,)) for row in range(12)), rel=1e-5)


def test_doubt_is_largest_between_two_classes() -> None:
    labelled = Labelled.of(np.eye(3, dtype=np.float32), np.arange(3))
    between = np.array([[1, 0, 0], [1, 0.9, 0], [1, 1, 0]], dtype=np.float32)
    doubt = labelled.doubt(between / np.linalg.norm(between, axis=1, keepdims=True))
    assert doubt[0] < 0.01 < doubt[1] < 0.999 and doubt[2] == pytest.approx(1, abs=1e-5)
    one = Labelled.of(np.eye(3, dtype=np.float32)[:1], np.array([0]))
    assert one.doubt(between).shape == (3,), "one class alone"


def test_copies_are_left_out_and_copies_of_labelled_ones_as_well() -> None:
    vectors, _ = groups(4, 5)
    labelled = Labelled.of(vectors[:3], np.arange(3))
    found = chosen(np.concatenate([vectors, vectors]), labelled, 40)
    assert sorted(found.rows % 20) == list(range(3, 20))
    with pytest.raises(DataError, match="every picture is a copy"):
        chosen(vectors[:3], labelled, 2)


def test_the_typical_picture_of_a_class_is_nearest_to_its_mean() -> None:
    vectors, of = groups(3, 9)
    labelled = Labelled.of(vectors, of)
    for code, row in enumerate(labelled.typical().tolist()):
        members = np.flatnonzero(of == code)
        assert row == members[(vectors[members] @ labelled.means[code]).argmax()]
