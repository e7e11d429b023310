"""How sure an answer is: cues, what is learned from them, and what is kept of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bier.confidence.calibration import Calibration
from bier.confidence.cues import EVIDENCE, cues, within_reach
from bier.confidence.figures import area_under_curve, calibration_error, reliability
from bier.confidence.fitting import calibrate
from bier.confidence.measuring import measure
from bier.confidence.neighbours import Neighbours

SIZES = (4, 8)


def clusters(
    classes: int, pictures: int, seed: int, spread: float = 0.35
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Vectors as a model gives them, in noisy classes."""
    random = np.random.default_rng(seed)
    codes = np.repeat(np.arange(classes), pictures)
    places = random.normal(size=(classes, sum(SIZES))) + 2
    return unit(places[codes] + spread * 2 * random.normal(size=(len(codes), sum(SIZES)))), codes


def unit(vectors: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    parts = np.split(vectors, np.cumsum(SIZES)[:-1], axis=1)
    scaled = [part / np.linalg.norm(part, axis=1, keepdims=True) / 2**0.5 for part in parts]
    joined: np.ndarray[Any, np.dtype[np.float32]] = np.concatenate(scaled, axis=1).astype(np.float32)
    return joined


def nothing(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Vectors that lie elsewhere."""
    return unit(np.random.default_rng(seed).normal(size=(count, sum(SIZES))) - 2)


@pytest.fixture(scope="module")
def learned() -> Calibration:
    vectors, codes = clusters(12, 15, seed=0)
    rows = np.arange(len(codes))
    return calibrate(vectors, codes, vectors, codes, SIZES, itself=rows, strangers=nothing(60, 1))


def test_chances_tell_and_come_true_on_classes_that_were_not_seen(learned: Calibration) -> None:
    vectors, codes = clusters(12, 15, seed=7)
    found = measure(learned, vectors, codes, vectors, codes, np.arange(len(codes)))
    assert found.right.auc is not None and found.right.auc > 0.75
    assert found.known.auc is not None and found.known.auc > 0.75
    assert found.right.error < 0.1 and found.known.error < 0.12
    assert found.lost < 0.15


def answered(queries: Any, gallery: Any, classes: Any, *, labels: bool = True, vectors: bool = True) -> Neighbours:
    scores = queries @ gallery.T
    order = np.argsort(-scores, axis=1)[:, :50]
    hits = {"queries": queries, "hits": gallery[order], "sizes": SIZES} if vectors else {}
    names = [[classes[row] for row in rows] for rows in order.tolist()] if labels else None
    return Neighbours.of(np.take_along_axis(scores, order, axis=1), names, **hits)


@pytest.mark.parametrize(("labels", "vectors"), [(True, True), (True, False), (False, True), (False, False)])
def test_whatever_is_at_hand_pictures_of_nothing_are_less_known(
    learned: Calibration, labels: bool, vectors: bool
) -> None:
    gallery, codes = clusters(12, 15, seed=0)
    names = [f"class {code}" for code in codes.tolist()]
    real = learned.judge(answered(gallery[::3], gallery, names, labels=labels, vectors=vectors))
    strange = learned.judge(answered(nothing(40, 5), gallery, names, labels=labels, vectors=vectors))
    assert strange.known.min() >= 0 and real.known.max() <= 1
    assert strange.known.mean() < real.known.mean() / 2
    assert strange.absent.mean() > 0.9
    assert strange.confidence.mean() < real.confidence.mean() / 2


def test_it_is_kept_as_json(learned: Calibration) -> None:
    again = Calibration.from_json(json.loads(json.dumps(learned.to_json())))
    gallery, codes = clusters(6, 5, seed=3)
    found = answered(gallery, gallery, codes.tolist())
    np.testing.assert_array_equal(again.judge(found).known, learned.judge(found).known)
    assert again.known_at == learned.known_at and again.sizes == SIZES


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda kept: kept["fits"].pop("labels"), "'calibration.fits.labels' is missing"),
        (lambda kept: kept["fits"]["scores"]["right"]["weights"].update(lead=1), "cannot know lead"),
        (lambda kept: kept["fits"]["all"]["right"]["weights"].update(lead=-1), "a number from 0"),
        (lambda kept: kept["fits"]["all"]["right"].update(bias=float("nan")), "a number from -1e+09"),
        (lambda kept: kept["direction"].pop(), "has 11 numbers"),
        (lambda kept: kept.pop("direction"), "cannot know likeness"),
    ],
)
def test_a_strange_calibration_is_refused(learned: Calibration, change: Any, told: str) -> None:
    kept = json.loads(json.dumps(learned.to_json()))
    change(kept)
    with pytest.raises(ValueError, match=told.replace("+", r"\+")):
        Calibration.from_json(kept)


@pytest.mark.parametrize(("classes", "pictures"), [(1, 20), (3, 20), (20, 1)])
def test_too_little_to_learn_from_is_said(classes: int, pictures: int) -> None:
    vectors, codes = clusters(classes, pictures, seed=0)
    with pytest.raises(ValueError, match="classes have another picture to find, and 4 are needed"):
        calibrate(vectors, codes, vectors, codes, SIZES, itself=np.arange(len(codes)))


def test_it_is_learned_without_strangers_too() -> None:
    vectors, codes = clusters(8, 6, seed=0)
    found = calibrate(vectors, codes.tolist(), vectors, codes.tolist(), SIZES, itself=np.arange(len(codes)))
    assert found.direction is None
    assert Calibration.from_json(found.to_json()).known_at == found.known_at


def test_answers_with_few_hits_or_none(learned: Calibration) -> None:
    gap = float("nan")
    found = learned.judge(Neighbours.of([[0.9, 0.8, gap], [gap, gap, gap]], [["a", None, None], [None] * 3]))
    assert 0 < found.confidence[0] < 1 and found.confidence[1] == found.known[1] == 0
    assert found.absent[1]
    empty = learned.judge(Neighbours.of(np.zeros((2, 0))))
    assert empty.known.tolist() == [0, 0] and empty.absent.all()


def test_a_hit_without_a_place_changes_no_cue() -> None:
    gallery, codes = clusters(4, 3, seed=2)
    found = answered(gallery[:5], gallery[5:], codes[5:].tolist())
    assert found.labels is not None
    padded = Neighbours.of(
        np.pad(found.scores, ((0, 0), (0, 3)), constant_values=np.nan),
        np.pad(found.labels, ((0, 0), (0, 3)), constant_values=-1),
        queries=gallery[:5],
        hits=np.stack([np.vstack([gallery[5:][order], np.ones((3, 12))]) for order in orders(gallery)]),
        sizes=SIZES,
    )
    names = [name for name in within_reach("all", False) if not name.startswith("learners")]
    for name, values in cues(found, names, None).items():
        np.testing.assert_allclose(cues(padded, [name], None)[name], values, atol=1e-5, err_msg=name)


def orders(gallery: Any) -> Any:
    return np.argsort(-(gallery[:5] @ gallery[5:].T), axis=1)[:, :50]


def test_every_kind_of_evidence_has_cues() -> None:
    for evidence in EVIDENCE:
        assert {"top_score", "fall"} <= set(within_reach(evidence, True))
    assert within_reach("scores", True) == ["top_score", "fall"]


def test_figures_by_hand() -> None:
    chances, true = np.array([0.1, 0.15, 0.8, 0.8]), np.array([False, True, True, False])
    assert area_under_curve(chances, true) == 0.625
    assert area_under_curve(chances, np.ones(4, dtype=bool)) is None
    bins = reliability(chances, true)
    assert [(each.count, round(each.chance, 3), each.true) for each in bins] == [(2, 0.125, 0.5), (2, 0.8, 0.5)]
    assert calibration_error(bins) == pytest.approx((0.375 + 0.3) / 2)
