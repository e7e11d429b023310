"""Stages find what the whole embedding finds, and never make up a score."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from bier.errors import SearchError
from bier.search import IndexInfo, StagedSearch, create_index, open_index
from bier.search.cascade import Cascade, Stages
from bier.search.duplicates import duplicate_groups
from bier.search.shortlist import LADDER, cheapest

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


def cascade(stored, precision="float32"):
    """In blocks of different lengths."""
    stages = Stages(SIZES, precision)
    return Cascade([stages.block(part) for part in np.split(stored, [1, 1700])], stages)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_cascade_finds_the_nearest_by_a_shortlist(precision):
    stored, queries = ensemble(8000), ensemble(520, seed=1)  # queries in two blocks
    best = np.argsort(-(queries @ stored.T), axis=1)[:, :10]
    found = cascade(stored, precision).nearest(queries, 10, shortlist=600)
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
    [(rows, _)] = cascade(stored).nearest(query, 1, shortlist)
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


def wait_for(staged, query, name):
    """Until a picture is the first hit."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        [hits] = staged.search(query)
        if hits and hits[0].id == name:
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} is not found")


@pytest.mark.parametrize("engine", ["exact", pytest.param("lancedb", marks=pytest.mark.slow)])
def test_it_follows_what_other_processes_write(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("bier.search.staged.LOOKS", 0.0)
    monkeypatch.setattr("bier.search.snapshot.ROWS", 64)  # blocks that few rows fill
    stored, [query] = ensemble(300), ensemble(1, seed=5)
    ids = [f"{row:03}" for row in range(300)]
    with create_index(tmp_path / "index", INFO, engine) as writer, open_index(tmp_path / "index") as reader:
        writer.add(ids, stored, [{"label": "old"}] * 300)
        staged = StagedSearch(reader, shortlist=300)
        before = {id(block) for block in staged._now.cascade.blocks}
        writer.add(["new"], query[None], [{"label": "new"}])
        wait_for(staged, query, "new")
        assert staged.search(query, where={"label": "new"})[0][0].id == "new"
        writer.add(["new"], stored[:1], [{"label": "turned"}])
        writer.add(["000"], query[None], [{"label": "moved"}])
        wait_for(staged, query, "000")
        writer.delete([*ids[1:40], "000"])
        writer.flush()
        writer.add(["last"], -query[None], [{"label": "last"}])
        wait_for(staged, -query, "last")
        staged.close()
        for one in (query, stored[50], stored[299]):
            assert staged.search(one, top=300) == reader.search(one, top=300)
        assert staged.search(query, 300, {"label": "old"}) == reader.search(query, 300, {"label": "old"})
        kept = [block for block in staged._now.cascade.blocks if id(block) in before]
        assert len(kept) >= 3, "vectors that have not changed are taken over"
        writer.add(["later"], query[None], [{"label": "later"}])
        assert staged.search(query)[0][0].id != "later", "it is closed"


def test_an_index_that_cannot_be_read_any_more_is_told_and_answered_from_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("bier.search.staged.LOOKS", 0.0)
    told = []
    with create_index(tmp_path / "index", INFO) as index:
        index.add(["a"], ensemble(1), [{}])
        staged = StagedSearch(index, shortlist=10, tell=told.append)
        index.add(["b"], ensemble(1, seed=1), [{}])
        monkeypatch.setattr(index, "scan_columns", fail)
        deadline = time.monotonic() + 20
        while not told and time.monotonic() < deadline:
            assert [hit.id for hit in staged.search(ensemble(1))[0]] == ["a"]
        assert "the index has changed, and cannot be read: torn" in told[0]


def fail():
    raise SearchError("torn")


def test_the_shortlist_is_the_shortest_that_reaches_the_recall(tmp_path, monkeypatch):
    monkeypatch.setattr("bier.search.shortlist.LADDER", (20, 50, 100, 200, 500, 1000))
    told = []
    with create_index(tmp_path / "index", INFO) as index:
        index.add([str(row) for row in range(2000)], ensemble(2000), [{}] * 2000)
        staged = StagedSearch(index, recall=0.9, tell=told.append)
        known = staged.measured
        assert known.recall >= 0.9
        assert known.pictures == 2000
        assert "shortlist" in told[-1]
        queries = ensemble(100, seed=8)
        found, exact = staged.search(queries), index.search(queries)
        shares = [
            len({hit.id for hit in one} & {hit.id for hit in other}) / 10
            for one, other in zip(found, exact, strict=True)
        ]
        assert np.mean(shares) == pytest.approx(known.recall, abs=0.06)
        assert np.mean(shares) < 1, "it was not used"
        told.clear()
        assert StagedSearch(index, recall=0.9, tell=told.append).measured == known
        assert told == [], "it is known from the file"
        assert StagedSearch(index, recall=0.99).measured.setting["shortlist"] > known.setting["shortlist"]
        for recall in (0, 1, 1.5):
            with pytest.raises(SearchError, match="out of range for a search in stages"):
                StagedSearch(index, recall=recall)
        (index.folder / "staged.json").write_text("{")
        with pytest.raises(SearchError, match=r"staged\.json: is damaged"):
            StagedSearch(index)


@pytest.mark.parametrize("reached", [0, 3, 99])
def test_few_of_the_ladder_are_measured(reached):
    asked = []

    def recall(shortlist):
        asked.append(shortlist)
        return 0.99 if shortlist >= (*LADDER, 10**9)[min(reached, len(LADDER))] else 0.5

    found = cheapest(0.98, 10**6, 400, recall)
    assert found.setting["shortlist"] == (LADDER[reached] if reached < 90 else max(s for s in LADDER if s < 2 * 10**6))
    assert found.recall == (0.99 if reached < 90 else 0.5)
    assert len(asked) <= 6


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
