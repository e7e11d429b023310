"""Verification and open-set identification against explicit loops over all pairs, and scikit-learn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bier.errors import ConfigError, DataError
from bier.evaluate import evaluate_learners, evaluate_retrieval
from bier.evaluate.engine import counts, sweep
from bier.evaluate.engine.inputs import prepare
from bier.evaluate.engine.table import Table, sides, views
from bier.evaluate.matching import MATCHING, Matching, average, match
from bier.evaluate.open_set import Deal
from bier.evaluate.verification import GRID
from bier.records.matching import AtFar, Verification
from bier.system.processes import Processes

ALONE = Processes()
Case = tuple[Table, Table | None]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tiles in small cases."""
    monkeypatch.setattr(sweep, "TILE", 7)


def random_case(seed: int) -> Case:
    """Few distinct values and copies, so that scores tie; some classes of one, some on one side only."""
    draw = np.random.default_rng(seed)
    dimensions, classes = int(draw.integers(1, 5)), int(draw.integers(1, 14))

    def side(count: int) -> tuple[np.ndarray, list[str], list[str]]:
        vectors = draw.integers(-2, 3, size=(count, dimensions)).astype(np.float32)
        if draw.random() < 0.4:
            vectors = draw.normal(size=(count, dimensions)).astype(np.float32)
        vectors[~vectors.any(1)] = 1
        codes = draw.integers(0, classes, size=count)
        return vectors, [f"class {code}" for code in codes], [f"{code} {int(draw.integers(0, 40))}" for code in codes]

    vectors, labels, ids = side(int(draw.integers(2, 40)))
    if draw.random() < 0.5:
        return prepare([vectors], labels, None, None, "cosine", ids)
    gallery, gallery_labels, gallery_ids = side(int(draw.integers(2, 40)))
    return prepare([vectors], labels, [gallery], gallery_labels, "cosine", ids, gallery_ids)


def scored_pairs(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all pairs of two pictures, each once, and whether they are of one class."""
    query, gallery = case[0], case[0] if case[1] is None else case[1]
    scores = exact(case)
    found = []
    for i in range(len(query)):
        for j in range(i + 1 if case[1] is None else 0, len(gallery)):
            if query.ids[i] != gallery.ids[j]:
                found.append((scores[i, j], query.codes[i] == gallery.codes[j]))
    values = np.array(found, dtype=float).reshape(-1, 2)
    return values[:, 0], values[:, 1].astype(bool)


def exact(case: Case) -> np.ndarray:
    query, gallery = case[0], case[0] if case[1] is None else case[1]
    products = query.products(np.arange(len(query)), gallery, slice(None))[0].numpy()
    return np.round(products * 2**24) / 2**24


def matched(case: Case, *wanted: str) -> Matching:
    return match(*case, views([1.0]), wanted or MATCHING, ALONE)[0]


def slow_verification(scores: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    positives, negatives = scores[right], scores[~right]
    above = (positives[:, None] > negatives).mean() + (positives[:, None] == negatives).mean() / 2
    corners = [(0.0, 0.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        corners.append(((negatives >= threshold).mean(), (positives >= threshold).mean()))
    rates = {far: max(tar for false, tar in corners if false <= far) for far in GRID if far * len(negatives) >= 1}
    place = next(i for i, (far, tar) in enumerate(corners) if far + tar >= 1)
    (far, tar), (next_far, next_tar) = corners[place - 1], corners[place]
    share = (1 - far - tar) / (next_far - far + next_tar - tar)
    return {"auc": above, "eer": far + share * (next_far - far), "rates": rates}


@pytest.mark.usefixtures("small")
def test_verification_equals_sorting_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = 0
    for seed in range(80):
        monkeypatch.setattr(counts, "_ROOM", 5000 if seed % 8 else 50)  # lists that overflow
        case = random_case(seed)
        scores, right = scored_pairs(case)
        told = matched(case, "verification")
        if right.all() or not right.any():
            assert told.verification is None
            assert told.not_measured["verification"].endswith("of one class")
            continue
        found, expected = told.verification, slow_verification(scores, right)
        assert found is not None
        measured += 1
        assert (found.positive_pairs, found.negative_pairs) == (right.sum(), (~right).sum())
        assert found.auc == pytest.approx(expected["auc"], abs=1e-12)
        assert found.equal_error_rate == pytest.approx(expected["eer"], abs=1e-12)
        assert dict(found.curve) == pytest.approx(expected["rates"], abs=1e-12)
        for point in found.tar:
            assert point.rate == expected["rates"].get(point.far)
            if point.threshold is not None:
                assert (scores[right] >= point.threshold).mean() == point.rate
                assert (scores[~right] >= point.threshold).mean() <= point.far
    assert measured > 50


def test_verification_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 12, 300)
    vectors = draw.normal(size=(12, 8))[labels] + draw.normal(size=(300, 8))
    case = prepare([vectors], labels, None, None, "cosine")
    pairs = np.triu_indices(300, 1)
    scores, right = exact(case)[pairs], (labels[:, None] == labels)[pairs]
    found = matched(case).verification
    assert found is not None
    assert found.auc == pytest.approx(metrics.roc_auc_score(right, scores), abs=1e-12)
    false, true, _ = metrics.roc_curve(right, scores, drop_intermediate=False)
    assert found.tar[0].rate == true[false <= 0.01].max()
    grid = np.linspace(0, 1, 200_001)
    assert found.equal_error_rate == pytest.approx(
        grid[np.argmin(abs(grid - 1 + np.interp(grid, false, true)))], abs=1e-5
    )


def slow_draw(case: Case, away: set[int], far: float) -> tuple[float | None, int, int]:
    """The definition: every query searches the gallery without some classes."""
    query, gallery = case[0], case[0] if case[1] is None else case[1]
    scores, hits, alarms, known = exact(case), [], [], 0
    for i in range(len(query)):
        rows = [j for j in range(len(gallery)) if gallery.codes[j] not in away and gallery.ids[j] != query.ids[i]]
        order = sorted(rows, key=lambda j: (-scores[i, j], gallery.codes[j] == query.codes[i]))
        first = scores[i, order[0]] if order else -np.inf
        if any(gallery.codes[j] == query.codes[i] for j in rows):
            known += 1
            hits += [first] if gallery.codes[order[0]] == query.codes[i] else []
        else:
            alarms.append(first)
    if not known or not alarms or far * len(alarms) < 1:
        return None, known, len(alarms)
    bars = [bar for bar in [*hits, np.inf] if np.mean([alarm >= bar for alarm in alarms]) <= far]
    return sum(hit >= min(bars) for hit in hits) / known, known, len(alarms)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("far", [0.2, 0.1])
def test_open_set_equals_searching_each_gallery(far: float) -> None:
    measured = 0
    for seed in range(80):
        case = random_case(seed)
        mine, others = sides(*case)
        deal = Deal.of(mine, others)
        told = matched(case, "open_set")
        turns = np.unique(others.turn)
        code_of = {turn: int(others.table.codes[others.rows[others.turn == turn][0]]) for turn in turns}
        draws = []
        for draw in range(deal.parts):
            spans = np.flatnonzero(deal.left_out(draw))
            away = {code_of[turn] for part in spans for turn in others.turn[deal.starts[part] : deal.starts[part + 1]]}
            draws.append(slow_draw(case, away, far))
        usable = [draw for draw in draws if draw[1] and draw[2]]
        if len(turns) < 2 or not usable:
            assert told.open_set is None
            assert "open_set" in told.not_measured
            continue
        assert told.open_set is not None
        assert told.open_set.draws == len(usable)
        expected = [rate for rate, _, _ in usable if rate is not None]
        found = dict(told.open_set.curve).get(far)
        if len(expected) < len(usable):
            assert found is None
            continue
        measured += 1
        assert found == pytest.approx(np.mean(expected), abs=1e-12)
    assert measured > 10


def test_every_class_is_left_out_in_half_of_the_draws() -> None:
    labels = np.arange(23).repeat(2)
    case = prepare([np.random.default_rng(0).normal(size=(46, 4))], labels, None, None, "cosine")
    deal = Deal.of(*sides(*case))
    assert (sum(deal.left_out(draw) for draw in range(deal.parts)) == 5).all()
    assert set(np.bincount(deal.part) // 2) == {2, 3}


def test_a_perfect_embedding_and_a_collapsed_one() -> None:
    labels = np.arange(6).repeat(5)
    perfect = evaluate_retrieval(np.eye(6)[labels], labels, metrics=["recall", *MATCHING])
    assert perfect.verification is not None
    assert (perfect.verification.auc, perfect.verification.equal_error_rate) == (1, 0)
    assert perfect.verification.tar[0].rate == 1
    assert perfect.verification.tar[2] == AtFar(far=1e-4, rate=None), "375 wrong pairs cannot tell 1 in 10,000"
    assert perfect.open_set is not None
    assert perfect.open_set.dir[0].rate == 1
    collapsed = evaluate_retrieval(np.ones((30, 3)), labels, metrics=["recall", *MATCHING])
    assert collapsed.verification is not None
    assert (collapsed.verification.auc, collapsed.verification.equal_error_rate) == (0.5, 0.5)
    assert collapsed.verification.tar[0].rate == 0
    assert collapsed.open_set is not None
    assert collapsed.open_set.dir[0].rate == 0


def test_neither_the_order_of_images_nor_their_number_in_a_tile_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 9, 90)
    vectors = draw.normal(size=(9, 6))[labels] + draw.normal(size=(90, 6))
    order = draw.permutation(90)
    before = evaluate_retrieval(vectors, labels, metrics=MATCHING)
    monkeypatch.setattr(sweep, "TILE", 16)
    after = evaluate_retrieval(vectors[order], labels[order], metrics=MATCHING)
    assert (after.verification, after.open_set) == (before.verification, before.open_set)


def test_one_class_is_said_and_not_measured() -> None:
    result = evaluate_retrieval(
        np.random.default_rng(0).normal(size=(5, 3)), ["cat"] * 5, metrics=["recall", *MATCHING]
    )
    assert result.verification is None
    assert result.open_set is None
    assert dict(result.not_measured) == {
        "verification": "all pictures are of one class",
        "open_set": "the gallery has one class only, and none can be left out",
    }


def test_classes_of_one_picture_are_an_error() -> None:
    with pytest.raises(DataError, match="none of the 4 queries has a positive"):
        evaluate_retrieval(np.eye(4), list("abcd"), metrics=["recall", *MATCHING])


def test_pairs_are_not_compared_by_products_or_relevance() -> None:
    with pytest.raises(ConfigError, match="cosines"):
        evaluate_retrieval(np.eye(4), [0, 0, 1, 1], metrics=["verification"], similarity="dot")
    with pytest.raises(DataError, match="relevance"):
        evaluate_retrieval(np.eye(4), [0, 0, 1, 1], metrics=["open_set"], relevance=lambda a, b: a[:, None] == b)


def test_learners_have_figures_of_their_own() -> None:
    draw = np.random.default_rng(2)
    labels = np.arange(8).repeat(6)
    parts = [
        draw.normal(size=(8, size))[labels] + noise * draw.normal(size=(48, size)) for size, noise in ((3, 2), (5, 1))
    ]
    rows = evaluate_learners(parts, [0.4, 0.6], labels, metrics=["recall", *MATCHING])  # type: ignore[arg-type]
    by_name = {row["name"]: row["verification"]["auc"] for row in rows}
    alone = evaluate_retrieval(parts[1], labels, metrics=["verification"]).verification
    assert alone is not None
    assert by_name["learner 2"] == alone.auc
    assert by_name["first 2 learners"] == by_name["ensemble"] > by_name["learner 1"]


def test_several_searches_are_averaged() -> None:
    def of(auc: float, rate: float | None, curve: tuple[tuple[float, ...], ...]) -> Verification:
        points = (AtFar(far=0.01, rate=rate),)
        return Verification(auc=auc, equal_error_rate=0.25, tar=points, curve=curve, positive_pairs=3, negative_pairs=8)

    mean = average([of(0.5, 0.2, ((1.0, 1.0), (0.5, 0.5))), of(1.0, None, ((1.0, 0.5),))])
    assert mean == of(0.75, None, ((1.0, 0.75),))
    assert average([None, None]) is None


TWO_PROCESSES = """
import json, sys
import numpy as np
from bier.evaluate import evaluate_retrieval
from bier.evaluate.engine import sweep
from bier.records.reading import as_json
from bier.system.processes import started_by_torchrun
sweep.TILE = 16
draw = np.random.default_rng(3)
labels = draw.integers(0, 9, 90)
vectors = draw.normal(size=(9, 6))[labels] + draw.normal(size=(90, 6))
with started_by_torchrun() as processes:
    result = evaluate_retrieval(vectors, labels, metrics=["verification", "open_set"], distributed=processes.world > 1)
if processes.first:
    print(json.dumps([as_json(result.verification), as_json(result.open_set)]))
"""


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    script = tmp_path / "measure.py"
    script.write_text(TWO_PROCESSES)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    runs = [
        subprocess.run([*start, str(script)], capture_output=True, text=True, check=True)
        for start in ([sys.executable], launcher)
    ]
    one, two = (run.stdout.splitlines()[-1] for run in runs)
    assert one == two
    assert '"auc"' in one
