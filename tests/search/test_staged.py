"""Stages find what the whole embedding finds, and never make up a score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bier.errors import SearchError
from bier.search import IndexInfo, StagedSearch, create_index
from bier.search.duplicates import duplicate_groups
from bier.search.staged import Cascade

SIZES = (8, 16, 24)
INFO = IndexInfo("model", SIZES, (0.4, 0.6, 0.7), engine="exact")


def ensemble(count, seed=0):
    """Vectors whose learners agree, as trained ones do: each is a noisy look at the same thing."""
    random = np.random.default_rng(seed)
    thing = random.standard_normal((count, 6))
    looks = np.random.default_rng(99)
    parts = []
    for size, scale in zip(SIZES, INFO.scales, strict=True):
        part = thing @ looks.standard_normal((6, size)) + 0.3 * random.standard_normal((count, size))
        parts.append(scale * part / np.linalg.norm(part, axis=1, keepdims=True))
    return np.concatenate(parts, axis=1).astype(np.float32)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_cascade_finds_the_nearest_by_a_shortlist(precision):
    stored, queries = ensemble(20_000), ensemble(600, seed=1)  # queries in two blocks
    best = np.argsort(-(queries @ stored.T), axis=1)[:, :10]
    found = Cascade(stored, SIZES, precision).nearest(queries, 10, shortlist=600)
    hits = np.mean([len(set(rows) & set(exact)) for (rows, _), exact in zip(found, best, strict=True)])
    assert hits > 9.5
    for query, (rows, scores) in zip(queries, found, strict=True):
        assert len(set(rows.tolist())) == 10
        assert scores == pytest.approx(stored[rows] @ query, abs=1e-5)
        assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize(("shortlist", "expected"), [(100, 3990), (1000, 3500), (4000, 0)])
def test_each_stage_hands_on_what_the_learners_so_far_think_best(shortlist, expected):
    # Learner 1 prefers later rows. Of three that learner 3 praises, the best is least likely to get so far.
    stored = np.zeros((4000, 48), dtype=np.float32)
    stored[:, 0] = np.linspace(0, 1, 4000)
    stored[[3990, 3500, 0], 24] = 2, 4, 6
    query = np.zeros((1, 48), dtype=np.float32)
    query[0, [0, 8, 24]] = 1
    stored[[3500, 0], 8] = 0.5, 1.5  # learner 2 carries them through the second stage, if they reach it
    [(rows, _)] = Cascade(stored, SIZES).nearest(query, 1, shortlist)
    assert rows.tolist() == [expected]


def test_a_staged_search_answers_as_the_index_does_when_the_shortlist_is_everything(tmp_path):
    stored = ensemble(300)
    ids = [f"{row:03}" for row in range(300)]
    with create_index(tmp_path / "index", INFO) as index:
        empty = StagedSearch(index)
        assert empty.search(stored[:2], top=3) == [[], []]
        index.add(ids, stored, [{"label": "ab"[row % 2]} for row in range(300)])
        staged = StagedSearch(index, shortlist=300)
        queries = ensemble(3, seed=2)
        assert staged.search(queries, top=7) == index.search(queries, top=7)
        assert staged.search(queries, 7, {"label": "b"}) == index.search(queries, 7, {"label": "b"})
        assert staged.search(queries, 7, {"label": "none"}) == [[], [], []]
        assert len(staged.search(queries[0], top=1000)[0]) == 300
        with pytest.raises(SearchError, match="NaN"):
            staged.search(np.full(48, np.nan))


def test_a_filter_is_heeded_before_the_shortlist_not_after(tmp_path):
    with create_index(tmp_path / "index", INFO) as index:
        index.add([str(row) for row in range(3000)], ensemble(3000), [{"label": str(row % 100)} for row in range(3000)])
        staged = StagedSearch(index, shortlist=50)
        [hits] = staged.search(ensemble(1, seed=3), 30, {"label": "7"})
        assert len(hits) == 30
        some = [str(label) for label in range(60)]
        [hits] = staged.search(ensemble(1, seed=3), 10, {"label": some})
        assert {hit.metadata["label"] for hit in hits} <= set(some)


def test_one_learner_has_no_stages(tmp_path):
    with (
        create_index(tmp_path / "index", replace(INFO, sizes=(48,), scales=(1.0,))) as index,
        pytest.raises(SearchError, match="one learner"),
    ):
        StagedSearch(index)


def test_duplicate_groups_name_the_pictures(tmp_path):
    with create_index(tmp_path / "index", INFO) as index:
        assert duplicate_groups(index) == []
        vectors = ensemble(10)
        vectors[[3, 7]] = vectors[1]
        vectors[9] = vectors[0]
        index.add([f"p{row}" for row in range(10)], vectors, [{}] * 10)
        assert duplicate_groups(index, 1.0) == [["p1", "p3", "p7"], ["p0", "p9"]]
        with pytest.raises(SearchError, match="threshold"):
            duplicate_groups(index, 98)
