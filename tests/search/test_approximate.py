"""The approximate index: its recall is measured and reached, its scores are exact, and it is there or it is not."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ensembles import clustered

from bier.cli.entry import main
from bier.errors import SearchError
from bier.search import Hit, Index, IndexInfo, create_index, lance_progress, open_index
from bier.search.approximate import ApproximateIndex, check_recall, middle, recall_of
from bier.search.expected import Expected
from bier.search.measured import Approximation, Tried, in_words, read, write
from bier.system.locks import release, try_lock

INFO = IndexInfo("fingerprint-of-a-model", sizes=(8, 24), scales=(0.5, 0.8))
COUNT = 4000


def add(index: Index, count: int, seed: int, name: str) -> None:
    vectors = clustered(count, seed, INFO)
    index.add([f"{name}{row}" for row in range(count)], vectors, [{"label": str(row % 4)} for row in range(count)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("approximate") / "index"
    with create_index(folder, INFO) as index:
        add(index, COUNT, 0, "p")
        assert isinstance(index, ApproximateIndex)
        assert index.approximation is None
        index.tune(0.9)
    return folder


@pytest.fixture
def index(folder: Path) -> ApproximateIndex:
    opened = open_index(folder)
    assert isinstance(opened, ApproximateIndex)
    return opened


def share(found: list[list[Hit]], exact: list[list[Hit]]) -> float:
    pairs = zip(found, exact, strict=True)
    return float(
        np.mean([len({hit.id for hit in one} & {hit.id for hit in other}) / len(other) for one, other in pairs])
    )


def test_it_reaches_the_recall_that_it_tells(index: ApproximateIndex) -> None:
    known = index.approximation
    assert known is not None
    assert known.recall is not None
    assert 0.9 <= known.recall < 1
    assert known.pictures == COUNT
    queries = clustered(200, 1, INFO)
    found, exact = index.search(queries), index.search(queries, exact=True)
    assert share(found, exact) == pytest.approx(known.recall, abs=0.06)  # three standard errors
    assert found != exact, "it was not used"


def test_it_is_shown_how_far_it_is(tmp_path: Path) -> None:
    shown: list[tuple[str, int, int | None, str]] = []

    def show(stage: str, done: int = 0, total: int | None = None, unit: str = "pictures") -> None:
        shown.append((stage, done, total, unit))

    with create_index(tmp_path / "index", INFO) as made:
        add(made, 3000, 0, "p")
        assert isinstance(made, ApproximateIndex)
        known = made.tune(0.5, show=show)
    assert ("searching exactly", 3000, 3000, "pictures") in shown
    assert known.setting is not None
    tried = [done for stage, done, total, unit in shown if stage == f"trying {in_words(known.setting)}"]
    assert tried == list(range(0, known.queries, 25))
    assert all(done <= total for _, done, total, _ in shown if total is not None)


def test_what_was_read_tells_how_far_a_build_is(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([500, 500, 500 + 256 * 8, 500 + 1256 * 8, 500 + 9256 * 8, *[500 + 8456 * 8] * 100_000])
    monkeypatch.setattr(lance_progress, "bytes_read", lambda: next(readings))
    monkeypatch.setattr(lance_progress, "EVERY", 0.001)
    shown: list[tuple[str, int, int | None]] = []

    def show(stage: str, done: int = 0, total: int | None = None, unit: str = "pictures") -> None:
        shown.append((stage, done, total))

    with lance_progress.building(show, 8192, 8):
        while len(shown) < 5:
            time.sleep(0.001)
    first = [("finding the parts", 0, None)] * 2
    assert shown[:4] == [*first, ("sorting pictures into parts", 1000, 8192), ("writing the parts", 0, None)]


def test_scores_and_their_order_are_those_of_an_exact_search(index: ApproximateIndex) -> None:
    queries = clustered(20, 2, INFO)
    for found, exact in zip(index.search(queries), index.search(queries, top=COUNT, exact=True), strict=True):
        kept = {hit.id for hit in found}
        assert found == [hit for hit in exact if hit.id in kept]


def test_one_query_and_many_give_the_same_exact_answers(index: ApproximateIndex) -> None:
    queries = clustered(20, 3, INFO)
    assert index.search(queries, exact=True) == [index.search(query, exact=True)[0] for query in queries]
    only = {"label": ["1", "2"]}
    assert index.search(queries, 5, only, exact=True) == [index.search(q, 5, only, exact=True)[0] for q in queries]
    assert index.search(queries, where={"label": "none"}) == [[] for _ in queries]


def test_a_filter_and_single_learners_are_answered_exactly(index: ApproximateIndex) -> None:
    queries = clustered(50, 4, INFO)
    assert index.search(queries, where={"label": "3"}) == index.search(queries, where={"label": "3"}, exact=True)
    queries[:, : INFO.sizes[0]] = 0
    assert index.search(queries) == index.search(queries, exact=True)


def test_broad_filters_get_as_many_hits_as_there_are(index: ApproximateIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bier.search.approximate.FEW", 10)
    found = index.search(clustered(50, 5, INFO), top=900, where={"label": "3"})
    assert {len(hits) for hits in found} == {900}
    assert {hit.metadata["label"] for hits in found for hit in hits} == {"3"}


@pytest.mark.slow
def test_it_grows_and_shrinks_with_the_index(tmp_path: Path) -> None:
    with create_index(tmp_path / "index", INFO) as index:
        assert isinstance(index, ApproximateIndex)
        add(index, 2000, 0, "p")
        index.tune(0.9)
        [query] = clustered(1, 6, INFO)
        index.add(["new"], query[None], [{"label": "new"}])
        assert index.search(query)[0][0].id == "new"
        index.flush()
        assert index.search(query)[0][0].id == "new"
        index.add(["new"], -query[None], [{"label": "turned"}])
        assert "new" not in {hit.id for hit in index.search(query, top=50)[0]}
        assert index.search(-query)[0][0].metadata["label"] == "turned"
        index.delete(["new"])
        index.flush()
        assert "new" not in {hit.id for hit in index.search(-query, top=50)[0]}
        kept = index.keep_tuned()
        assert kept is not None
        assert kept.pictures == 2000, "it was not worth building anew"
        add(index, 2500, 7, "more")
        kept = index.keep_tuned()
        assert kept is not None
        assert kept.pictures == 4500
    with open_index(tmp_path / "index") as again:
        assert isinstance(again, ApproximateIndex)
        assert again.approximation == kept


def test_recall_is_measured_within_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bier.search.approximate.FEW", 500)
    queries = clustered(100, 1, INFO)
    with create_index(tmp_path / "index", INFO) as index:
        assert isinstance(index, ApproximateIndex)
        add(index, 4000, 0, "p")
        known = index.tune(0.8)
        assert [one.share for one in known.within] == pytest.approx([0.5, 0.125], abs=0.08)
        assert index.approximation == known, "it is kept"
        quarter = {"label": "1"}
        expected = index.expected(queries, quarter)
        assert expected is not None
        assert expected.recall == known.within[1].recall, "of the broadest that is not broader"
        assert expected.recall is not None
        assert expected.recall >= 0.8
        found, exact = index.search(queries, 10, quarter), index.search(queries, 10, quarter, exact=True)
        assert share(found, exact) >= 0.75
        assert index.expected(queries) == Expected(known.recall)
        assert index.expected(queries, {"label": "none"}) is None
        assert index.expected(np.concatenate([queries[:, :8], 0 * queries[:, 8:]], 1)) is None
    with pytest.raises(SystemExit):
        main(["index", "info", str(tmp_path / "index")])
    assert f"% of the pictures recall@10 {expected.recall:.4f}" in capsys.readouterr().out


def test_before_it_is_measured_filters_take_the_most_careful_setting(index: ApproximateIndex, tmp_path: Path) -> None:
    write(tmp_path, Approximation(0.9, 0.91, COUNT, 400, {"partitions": 5, "refined": 2}))
    known = read(tmp_path)
    assert known is not None
    assert known.within == ()
    index._described = lambda: known  # type: ignore[assignment]
    assert index.expected(clustered(1, 1, INFO)) == Expected(0.91)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bier.search.approximate.FEW", 500)
        assert index.expected(clustered(1, 1, INFO), {"label": ["1", "2"]}) == Expected(None)


@pytest.mark.parametrize(("share", "recall"), [(0.52, 0.97), (0.4, 0.97), (0.7, 0.96)])
def test_about_the_same_share_counts(index: ApproximateIndex, share: float, recall: float) -> None:
    """Half of the pictures pass; a broader filter than that which was measured never needs more."""
    setting = {"partitions": 5, "refined": 2}
    within = (Tried(share, 0.97, setting), Tried(0.1, 0.96, setting))
    index._described = lambda: Approximation(0.9, 0.98, COUNT, 400, setting, within=within)  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bier.search.approximate.FEW", 500)
        assert index.expected(clustered(1, 1, INFO), {"label": ["1", "2"]}) == Expected(recall)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    within = (Tried(0.5, 0.98, {"partitions": 20, "refined": 2}), Tried(0.1, None, None, 0.91))
    known = Approximation(0.98, 0.99, 10**6, 400, {"partitions": 10, "refined": 2}, within=within)
    write(tmp_path, known)
    assert read(tmp_path) == known


@pytest.mark.parametrize(("share", "passing"), [(0.5, 50), (0.1, 10), (0.001, 1), (0.999, 99)])
def test_a_filter_that_a_share_passes(share: float, passing: int) -> None:
    ids = [f"{number:03}" for number in range(100)]
    [only] = middle(ids[::-1], share)
    bounds = dict(only.bounds)
    assert sum(bounds["at_least"] <= name < bounds["below"] for name in ids) == passing


def test_a_recall_that_cannot_be_reached_leaves_exact_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with create_index(tmp_path / "index", INFO) as index:
        assert isinstance(index, ApproximateIndex)
        add(index, 2000, 0, "p")
        monkeypatch.setattr(type(index), "ladder", ({"partitions": 1, "refined": 1},))
        known = index.tune(0.999)
        assert known.setting is None
        assert known.best is not None
        assert known.best < 0.999
        queries = clustered(20, 1, INFO)
        assert index.search(queries) == index.search(queries, exact=True)
    with pytest.raises(SystemExit) as stopped:
        main(["index", "info", str(tmp_path / "index")])
    assert stopped.value.code in (0, None)
    assert "asked for and not reached" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_exact_searches_can_be_asked_for(tmp_path: Path) -> None:
    with create_index(tmp_path / "index", INFO) as index:
        assert isinstance(index, ApproximateIndex)
        add(index, 2000, 0, "p")
        index.tune(0.9)
        assert index.tune(1) == Approximation(1.0)
        queries = clustered(20, 1, INFO)
        assert index.search(queries) == index.search(queries, exact=True)
        assert index.keep_tuned() == Approximation(1.0)


def test_two_who_build_at_once_are_one_message_and_adding_goes_on(folder: Path, index: ApproximateIndex) -> None:
    held = try_lock(folder / "approximate.lock", os.O_RDWR | os.O_CREAT)
    assert held is not None
    known = index.approximation
    try:
        with pytest.raises(SearchError, match="its approximate index is being built by another process"):
            index.tune(0.95)
        told: list[str] = []
        assert index.keep_tuned(told.append, 0.95) == known
        assert told == ["another process builds the approximate index: this is left to it"]
    finally:
        release(held)


WRITER = """
import sys, time
from pathlib import Path
from bier.search.generations import writing
with writing(Path(sys.argv[1])):
    print("writes", flush=True)
    sys.stdin.readline()
"""


def test_a_wait_for_another_writer_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with create_index(tmp_path / "index", INFO, "exact") as index:
        command = [sys.executable, "-c", WRITER, str(tmp_path / "index")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdin is not None
            other.stdout.readline()
            adding = threading.Thread(target=add, args=(index, 3, 0, "p"))
            adding.start()
            deadline = time.monotonic() + 20
            while not caplog.messages and time.monotonic() < deadline:
                time.sleep(0.02)
            assert "another process writes the index" in caplog.text
            assert adding.is_alive()
            other.stdin.write("\n")
            other.stdin.flush()
            adding.join(20)
        assert index.count() == 3


def test_mistakes_are_one_message(tmp_path: Path, folder: Path) -> None:
    with create_index(tmp_path / "small", INFO) as small:
        assert isinstance(small, ApproximateIndex)
        add(small, 20, 0, "p")
        with pytest.raises(SearchError, match="holds 20 pictures: an approximate index needs 1,000"):
            small.tune()
        with pytest.raises(SearchError, match=r"recall 1\.2 is out of range"):
            small.tune(1.2)
    with (
        create_index(tmp_path / "exact", INFO, "exact") as exact,
        pytest.raises(SearchError, match="the engine exact has no approximate index"),
    ):
        check_recall(exact, 0.9)
    described = {"format": "bier-approximate-1", "wanted": 2, "pictures": 0, "queries": 0}
    (tmp_path / "approximate.json").write_text(json.dumps(described))
    with pytest.raises(SearchError, match=r"is damaged: 'wanted'"):
        read(tmp_path)


def test_recall_counts_equal_scores_alike_and_never_the_query() -> None:
    def hits(*scores: tuple[str, float]) -> list[Hit]:
        return [Hit(name, score, {}) for name, score in scores]

    exact = [hits(("q", 1.0), ("a", 0.5), ("b", 0.5), ("c", 0.4))]
    assert recall_of([hits(("q", 1.0), ("b", 0.5), ("a", 0.5), ("c", 0.4))], exact, ["q"]) == 1
    assert recall_of([hits(("q", 1.0), ("b", 0.5), ("d", 0.1))], exact, ["q"]) == pytest.approx(1 / 3)


BUILDER = """
import sys
from bier.search import open_index
index = open_index(sys.argv[1])
index.tune(0.9, lambda stage: print(stage, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_kill_while_it_is_built_leaves_a_sound_index(stage: int, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with create_index(folder, INFO) as index:
        add(index, 20_000, 0, "p")
        queries = clustered(20, 1, INFO)
        exact = index.search(queries, exact=True)
    process = subprocess.Popen([sys.executable, "-c", BUILDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(stage):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with open_index(folder) as index:
        assert isinstance(index, ApproximateIndex)
        assert index.search(queries, exact=True) == exact
        known = index.approximation
        assert known is not None
        assert known.setting is None or known.recall is not None
        known = index.keep_tuned()
        assert known is not None
        assert known.recall is not None
        assert known.recall >= 0.9
        assert share(index.search(queries), exact) > 0.8
