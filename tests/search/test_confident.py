"""How sure a search is: what it hands to a calibration, and when it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bier.confidence.calibration import Calibration
from bier.confidence.fitting import calibrate
from bier.confidence.neighbours import HITS, Neighbours
from bier.search import ConfidentSearch, Index, IndexInfo, StagedSearch

INFO = IndexInfo("fingerprint-of-a-model", sizes=(2, 4), scales=(0.5, 0.8), fields=("image", "label", "colour"))
CLASSES, EACH = 8, 12


def pictures(seed: int) -> tuple[NDArray[np.float32], list[str]]:
    """Vectors around a centre for each class, as a model gives them."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, INFO.dimensions))
    spread = np.random.default_rng(seed).normal(size=(CLASSES, EACH, INFO.dimensions))
    made = (centres[:, None] + 0.6 * spread).reshape(-1, INFO.dimensions)
    parts = np.split(made, np.cumsum(INFO.sizes)[:-1], axis=1)
    scaled = [
        s * part / np.linalg.norm(part, axis=1, keepdims=True) for s, part in zip(INFO.scales, parts, strict=True)
    ]
    return np.concatenate(scaled, axis=1).astype(np.float32), [f"class-{row // EACH}" for row in range(len(made))]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    gallery, labels = pictures(1)
    return calibrate(pictures(2)[0], labels, gallery, labels, INFO.sizes)


def filled(make: Callable[..., Index], labelled: bool = True) -> Index:
    vectors, labels = pictures(1)
    index = make(info=INFO)
    texts = [
        {"label": label if labelled else None, "colour": "red" if row % 2 else "blue"}
        for row, label in enumerate(labels)
    ]
    index.add([f"{row:03}" for row in range(len(labels))], vectors, texts)
    return index


@pytest.mark.parametrize("labelled", [True, False])
def test_answers_are_those_of_the_index_judged_by_their_neighbours(make, calibration, labelled) -> None:
    index, queries, (gallery, labels) = filled(make, labelled), pictures(3)[0][::6], pictures(1)
    answers = ConfidentSearch(index, calibration).search(queries, 5)
    assert [answer.hits for answer in answers] == index.search(queries, 5)
    scores = queries.astype(np.float64) @ gallery.astype(np.float64).T
    first = np.argsort(-scores, axis=1)[:, :HITS]
    expected = calibration.judge(
        Neighbours.of(
            np.take_along_axis(scores, first, 1),
            [[labels[row] for row in rows] for rows in first] if labelled else None,
            queries=queries,
            hits=gallery[first],
            sizes=INFO.sizes,
        )
    )
    assert [answer.confidence for answer in answers] == pytest.approx(expected.confidence.tolist(), abs=1e-5)
    assert [answer.known for answer in answers] == pytest.approx(expected.known.tolist(), abs=1e-5)
    assert [answer.absent for answer in answers] == expected.absent.tolist()
    assert len({answer.confidence for answer in answers}) > CLASSES, "all alike: nothing is learned"
    staged = ConfidentSearch(StagedSearch(index), calibration).search(queries[:3], 5)
    assert [answer.confidence for answer in staged] == [answer.confidence for answer in answers[:3]]


def test_a_filter_changes_hits_and_not_what_is_known(make, calibration) -> None:
    search, queries = ConfidentSearch(filled(make), calibration), pictures(3)[0][::6]
    plain = search.search(queries, 5)
    red = search.search(queries, 5, {"colour": "red"})
    assert [answer.known for answer in red] == [answer.known for answer in plain]
    same = [
        one.hits[0].metadata["label"] == other.hits[0].metadata["label"] for one, other in zip(plain, red, strict=True)
    ]
    assert 0 < sum(same) < len(same)
    for one, other, agree in zip(plain, red, same, strict=True):
        assert other.confidence == (one.confidence if agree else None)
    [nothing] = search.search(queries[:1], 5, {"colour": "green"})
    assert (nothing.hits, nothing.confidence, nothing.known) == ([], None, plain[0].known)


def test_what_is_left_out_does_not_count(make, calibration) -> None:
    index, (gallery, _) = filled(make), pictures(1)
    search = ConfidentSearch(index, calibration)
    [alone] = search.search(gallery[:1], 5, without={"000"})
    assert "000" not in [hit.id for hit in alone.hits]
    index.delete(["000"])
    assert search.search(gallery[:1], 5) == [alone]


def test_without_a_calibration_or_a_whole_vector_nothing_is_said(make, calibration) -> None:
    index, (queries, _) = filled(make), pictures(3)
    [answer] = ConfidentSearch(index, None).search(queries[0], 5)
    assert [answer.hits] == index.search(queries[0], 5)
    assert (answer.confidence, answer.known, answer.absent) == (None, None, None)
    first_learner = np.concatenate([queries[0, :2] / 0.5, np.zeros(4)])
    [prefix] = ConfidentSearch(index, calibration).search(first_learner, 5)
    assert replace(prefix, hits=[]) == replace(answer, hits=[])


def test_an_empty_index_knows_nothing(make, calibration) -> None:
    [answer] = ConfidentSearch(make(info=INFO), calibration).search(pictures(3)[0][0])
    assert (answer.hits, answer.confidence, answer.known, answer.absent) == ([], 0, 0, True)
