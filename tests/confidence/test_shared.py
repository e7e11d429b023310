"""How sure an answer is where pictures have several labels, and a hit is right that shares one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bier.confidence.calibration import Calibration
from bier.confidence.cues import cues
from bier.confidence.fitting import calibrate
from bier.confidence.measuring import measure
from bier.confidence.neighbours import Neighbours
from bier.confidence.searching import Search, counts, halves
from bier.confidence.shared import SharedLabels

SIZES = (4, 8)
NAMES = ["red|round", "red", "flat | round", "blue|flat", "", "red|round"]


def alike(one: str, other: str) -> bool:
    """By hand."""
    return bool({part.strip() for part in one.split("|")} & {part.strip() for part in other.split("|")} - {""})


def test_sets_share_labels_as_counted_by_hand() -> None:
    shared = SharedLabels(NAMES, "|")
    every = np.arange(len(NAMES))
    expected = np.array([[alike(one, other) for other in NAMES] for one in NAMES])
    np.testing.assert_array_equal(shared.among(every[None])[0], expected)
    pairs = np.stack(np.meshgrid(every, every, indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(shared.same(pairs[:, 0], pairs[:, 1]), expected.ravel())
    codes = np.array([0, 0, 1, 3, 4])
    np.testing.assert_array_equal(counts(every, codes, shared), expected[:, codes].sum(axis=1))
    assert shared.same(np.array([-1, 0]), np.array([0, -1])).tolist() == [False, False]
    assert shared.counts(np.array([-1]), codes).tolist() == [0]


def test_half_of_what_has_these_labels_is_left_out_label_by_label() -> None:
    names = [f"kind {number // 4}|one {number}" for number in range(24)]
    shared, codes = SharedLabels([*names, "other"], "|"), np.repeat(np.arange(25), 3)
    for catalogue in halves(codes, np.arange(24), np.random.default_rng(0), shared):
        assert catalogue[72:].all(), "labels that were not asked for stay"
        assert 36 <= (~catalogue).sum() < 36 + 12
        gone, kept = ({names[code] for code in codes[:72][part[:72]]} for part in (~catalogue, catalogue))
        assert not gone & kept


def pictures(count: int, seed: int) -> tuple[Any, list[str]]:
    """Vectors of pictures with a colour and a shape each, which pull them to two places."""
    random = np.random.default_rng(seed)
    places = np.random.default_rng(9).normal(size=(2, 10, sum(SIZES))) * 2
    colour, shape = random.integers(0, 10, size=(2, count))
    vectors = places[0, colour] + places[1, shape] + random.normal(size=(count, sum(SIZES)))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32), [f"colour {one}|shape {other}" for one, other in zip(colour, shape, strict=True)]


@pytest.fixture(scope="module")
def learned() -> Calibration:
    vectors, names = pictures(240, seed=0)
    return calibrate(vectors, names, vectors, names, SIZES, itself=np.arange(240), separator="|")


def test_a_hit_is_right_that_shares_a_label(learned: Calibration) -> None:
    vectors, names = pictures(240, seed=1)
    numbers = {name: code for code, name in enumerate(dict.fromkeys(names))}
    codes, shared = np.array([numbers[name] for name in names]), SharedLabels(numbers, "|")
    rows = np.arange(240)
    search = Search(vectors, codes, rows, rows >= 0, vectors, codes, SIZES, shared)
    some = np.random.default_rng(3).random(240) < 0.3
    found = search.answers([some], None)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    first = np.where(some, scores, -3).argmax(axis=1)
    assert found.right.tolist() == [alike(names[row], names[hit]) for row, hit in enumerate(first)]
    others = [[names[other] for other in np.flatnonzero(some) if other != row] for row in rows]
    assert found.known.tolist() == [any(alike(names[row], one) for one in there) for row, there in enumerate(others)]
    quality = measure(learned, vectors, codes, vectors, codes, rows, shared=shared)
    assert quality.right.auc is not None and quality.right.auc > 0.7
    assert quality.right.error < 0.1


def test_its_separator_is_kept_and_hits_of_an_index_are_judged_alike(learned: Calibration) -> None:
    again = Calibration.from_json(json.loads(json.dumps(learned.to_json())))
    assert again.separator == "|"
    texts = [["red|round", "round", None, "blue"]]
    codes, shared = SharedLabels.numbered(texts, "|")
    found = Neighbours.of([[0.9, 0.9, 0.9, 0.9]], codes, shared=shared)
    assert cues(found, ["share"], None)["share"].tolist() == [0.5]
    assert cues(Neighbours.of([[0.9, 0.9, 0.9, 0.9]], texts), ["share"], None)["share"].tolist() == [0.25]
    assert found.take(np.array([0])).same is not None
