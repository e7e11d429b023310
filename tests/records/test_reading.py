"""Whatever does not fit is told with its place and a remedy, and never by a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from origins import provenance

from bier.errors import DataError, ModelError
from bier.records.folder import RunFolder
from bier.records.history import Epoch, read_history, validation_score, write_history
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance
from bier.records.run import RunRecords
from bier.records.tries import Tries

ROW = {"name": "ensemble", "kind": "ensemble", "dimensions": 8, "recall": {"10": 0.9, "2": 0.5}}
QUERY = {"image": "a.jpg", "label": "a"}
SMALLEST: dict[str, Any] = {
    "format": "bier-metrics-1",
    "queries": 2,
    "gallery": 2,
    "classes": 1,
    "rows": [ROW],
}
WEIGHTS = {"edges": [0, 1, 2], "positive": [[3, 4]], "negative": [[5, 6]]}


def write(folder: Path, name: str, content: object) -> Path:
    path: Path = getattr(RunFolder(folder), name)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_file_may_say_less_or_more(tmp_path: Path) -> None:
    entry = {"group": "typical", "query": QUERY | {"colour": "red"}, "hits": []}
    more = {"note": "mine", "neighbours": [entry], "name": None, "seed": None, "correlation": None}
    metrics = Metrics.load(write(tmp_path, "metrics", SMALLEST | more))
    assert list(metrics.ensemble.figures) == ["R@2", "R@10"], "by number, not by name"
    assert (metrics.name, metrics.split, metrics.draws, metrics.correlation) == ("", "test", 1, None)
    assert metrics.neighbours[0].query.title == "a"
    older = provenance().as_dict() | {"later": 1}
    del older["processes"]
    write(tmp_path, "provenance", older)
    assert Provenance.load(tmp_path) == provenance()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"queries": None}, "'queries' does not fit: expected a whole number, found null"),
        ({"queries": 2.5}, "'queries' does not fit: expected a whole number, found 2.5"),
        ({"queries": True}, "'queries' does not fit: expected a whole number, found True"),
        ({"name": ["x"]}, "'name' does not fit: expected text, found a list"),
        ({"rows": {}}, "'rows' does not fit: expected a list, found an object"),
        ({"rows": [ROW, None]}, "'rows[1]' does not fit: expected an object {...}, found null"),
        (
            {"rows": [ROW | {"dimensions": "8"}]},
            "'rows[0].dimensions' does not fit: expected a whole number",
        ),
        ({"rows": [ROW | {"recall": [1]}]}, "'rows[0].recall' does not fit: expected an object {...}, found a list"),
        ({"rows": [ROW | {"recall": {"one": 1}}]}, "the key 'one' of 'rows[0].recall' does not fit"),
        ({"rows": [ROW | {"recall": {"1": None}}]}, "'rows' must hold the ensemble and its recall"),
        ({"rows": [ROW | {"map_at_r": "high"}]}, "'rows[0].map_at_r' does not fit: expected a number, found 'high'"),
        ({"rows": [ROW | {"map_at_r": 10**400}]}, "'rows[0].map_at_r' does not fit: the number is too large"),
        ({"correlation": {"learners": [[1.0, 0.5]]}}, "must be a square matrix"),
        ({"neighbours": [{"hits": []}]}, "the field 'neighbours[0].query' is missing"),
        ({"neighbours": [{"query": QUERY, "hits": [QUERY]}]}, "the field 'neighbours[0].hits[0].correct' is missing"),
        (
            {"neighbours": [{"query": QUERY, "hits": [QUERY | {"correct": 1}]}]},
            "'neighbours[0].hits[0].correct' does not fit: expected true or false, found 1",
        ),
    ],
)
def test_a_field_that_does_not_fit_is_named_by_its_path(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = write(tmp_path, "metrics", SMALLEST | change)
    with pytest.raises(DataError) as caught:
        Metrics.load(path)
    assert told in caught.value.what
    assert caught.value.where == str(path)
    assert "bier evaluate" in str(caught.value.remedy)


READERS: dict[str, Callable[[Path], object]] = {
    "metrics": lambda folder: Metrics.load(RunFolder(folder).metrics),
    "provenance": Provenance.load,
    "history": read_history,
    "tries": Tries.load,
    "config": RunRecords.load,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "text",
    ["{", "[" * 5000, '{"a": ' * 5000, "null", "3", '"text"', "NaN", "[{}]", "{}", b"\xff\xfe", '{"epoch": 1e999}'],
    ids=lambda text: f"{text[:12]!r}",
)
def test_no_broken_file_gives_a_traceback(name: str, text: str | bytes, tmp_path: Path) -> None:
    write(tmp_path, "metrics", SMALLEST)
    getattr(RunFolder(tmp_path), name).write_bytes(text if isinstance(text, bytes) else text.encode())
    if name == "config" and text not in ("{", "[" * 5000, '{"a": ' * 5000, b"\xff\xfe"):
        assert READERS[name](tmp_path), "YAML that holds no settings"
        return
    with pytest.raises(DataError) as caught:
        READERS[name](tmp_path)
    assert getattr(RunFolder(tmp_path), name).name in str(caught.value.where)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ({"positive": [[1, 2, 3]]}, "must have 2 counts between its 3 edges"),
        ({"negative": []}, "more learners on one side"),
        ({"edges": [0, None, 1]}, "must have edges that grow"),
        ({"positive": [[0.5, 2]]}, "'weights.positive[0][0]' does not fit: expected a whole number"),
    ],
)
def test_histograms_fit_their_edges(harm: dict[str, Any], told: str, tmp_path: Path) -> None:
    write(tmp_path, "history", {"epoch": 1, "weights": WEIGHTS})
    assert len(read_history(tmp_path)) == 1
    path = write(tmp_path, "history", '{"epoch": 1}\n\n' + json.dumps({"epoch": 2, "weights": WEIGHTS | harm}))
    with pytest.raises(DataError) as caught:
        read_history(tmp_path)
    assert told in caught.value.what
    assert caught.value.where == f"{path}:3"


def test_a_repeated_epoch_counts_once(tmp_path: Path) -> None:
    write_history(tmp_path, [Epoch(epoch=n, step=step) for n, step in ((2, 20), (1, 10), (2, 21))])
    assert [(epoch.epoch, epoch.step) for epoch in read_history(tmp_path)] == [(1, 10), (2, 21)]
    assert read_history(tmp_path / "nothing") == ()


def test_a_run_without_validation_has_no_score(tmp_path: Path) -> None:
    write_history(tmp_path, [Epoch(epoch=1, kept=True)])
    with pytest.raises(DataError, match="no epoch was kept by validation"):
        validation_score(tmp_path)


def test_figures_of_other_packages_are_kept_and_named(tmp_path: Path) -> None:
    more = {"mean_rank": 3.5, "nmi": 0.4, "nmi_std": 0.1, "reciprocal_rank": 0.7, "note": "mine", "sure": True}
    metrics = Metrics.load(write(tmp_path, "metrics", SMALLEST | {"rows": [ROW | more]}))
    row = metrics.ensemble
    assert row.figures == {"R@2": 0.5, "R@10": 0.9, "NMI": 0.4, "reciprocal_rank": 0.7}, "a rank is no share"
    assert row.spread == {"NMI": 0.1}
    assert {"mean_rank": 3.5, "reciprocal_rank": 0.7, "nmi_std": 0.1}.items() <= row.as_dict().items()
    assert {"note", "sure"}.isdisjoint(row.as_dict())


def test_other_formats_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "provenance", provenance().as_dict() | {"format": "bier-run-2"})
    with pytest.raises(DataError, match="format is 'bier-run-2', not 'bier-run-1'"):
        Provenance.load(tmp_path)
    with pytest.raises(ModelError, match="is not the folder of a run"):
        Provenance.load(tmp_path / "nothing")
