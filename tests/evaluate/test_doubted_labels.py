"""A wrong label among several is found, though its picture's set of labels occurs once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bier.data.several_labels import LabelSets
from bier.evaluate.doubted_labels import judge_labels
from bier.evaluate.suspects import judge

EACH = 12


def species(seed: int = 0) -> tuple[Any, list[list[str]]]:
    """Vectors of 40 species, four of each kind, and their labels."""
    random = np.random.default_rng(seed)
    kinds = random.normal(size=(10, 64))
    places = kinds[np.arange(40) // 4] + 0.8 * random.normal(size=(40, 64))
    codes = np.repeat(np.arange(40), EACH)
    vectors = places[codes] + 1.3 * random.normal(size=(len(codes), 64))
    return vectors.astype(np.float32), [[f"species {code}", f"kind {code // 4}"] for code in codes]


@pytest.mark.parametrize("place", [0, 1])
def test_the_wrong_one_of_two_labels_comes_first(place: int) -> None:
    vectors, labels = species()
    wrong = [7, 100, 333]
    for row in wrong:
        labels[row][place] = labels[(row + 200) % len(labels)][place]
    sets = LabelSets(labels)
    found = judge_labels(vectors, sets)
    first = found.order()[:3]
    assert sorted(found.rows[first].tolist()) == wrong
    assert [sets.names[found.labels[entry]] for entry in first] == [labels[row][place] for row in found.rows[first]]
    assert found.doubted[first].all() and found.doubted.sum() < 10
    for entry in first:
        row = int(found.rows[entry])
        assert labels[found.better[entry]] == [f"species {row // EACH}", f"kind {row // EACH // 4}"]
        assert all(labels[other] == labels[found.better[entry]] for other in found.neighbours[entry] if other >= 0)


def test_with_one_label_each_it_judges_as_classes_are_judged() -> None:
    vectors, _ = species()
    codes = np.repeat(np.arange(40), EACH)
    codes[[7, 100, 333]] = codes[[107, 200, 433]]
    found = judge_labels(vectors, LabelSets([[f"{code:02}"] for code in codes]))
    classes = judge(vectors, codes)
    assert found.order()[:3].tolist() == classes.order()[:3].tolist()
    assert (found.doubted == classes.doubted).mean() > 0.99
    assert (codes[found.better] == classes.better).mean() > 0.9


def test_a_label_of_one_picture_is_not_judged() -> None:
    vectors, labels = species()
    labels[0].append("rare")
    sets = LabelSets(labels)
    found = judge_labels(vectors, sets)
    [rare] = np.flatnonzero(found.labels == sets.names.index("rare"))
    assert found.suspicion[rare] == 0 and not found.doubted[rare]


def test_a_label_of_every_picture_is_never_doubted() -> None:
    vectors, labels = species()
    sets = LabelSets([*one, "bird"] for one in labels)
    found = judge_labels(vectors, sets)
    every = found.labels == sets.names.index("bird")
    assert not found.doubted[every].any() and (found.better[every] == -1).all()
    assert np.isfinite(found.suspicion).all()
