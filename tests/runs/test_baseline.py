"""Rows from before training: right however a run came to its end, and left out where they do not hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from folders import some_birds
from rich.console import Console
from tiny_runs import TINY, At, interrupt

import bier
from bier import runs
from bier.records.folder import RunFolder
from bier.records.metrics import Row
from bier.training.stopping import Interrupted

BEFORE = ("pretrained", "untrained")


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)


@pytest.fixture(scope="module")
def finished(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> bier.Run:
    """A run that nobody disturbed; tests leave it as it is."""
    return bier.train(birds, TINY, tmp_path_factory.mktemp("runs") / "finished", quiet=True)


@pytest.fixture
def copy(finished: bier.Run, tmp_path: Path) -> bier.Run:
    return bier.open_run(shutil.copytree(finished.folder, tmp_path / "finished"))


def before(run: bier.Run) -> list[Row]:
    assert run.metrics is not None
    return [row for row in run.metrics.rows if row.kind in BEFORE]


def figures(row: Row) -> tuple[object, ...]:
    return row.dimensions, row.recall, row.map_at_r, row.first_right


def test_a_table_begins_before_training(finished: bier.Run) -> None:
    assert finished.metrics is not None
    names = [row.name for row in finished.metrics.rows]
    assert names[:3] == ["random features", "whitening, untrained", "trained embedding"]
    assert names[-1] == "trained features"


def test_pretrained_features_are_those_of_the_backbone_as_it_came(finished: bier.Run, birds: Path) -> None:
    alone = runs.pretrained_features(str(birds), finished.settings, Console(quiet=True))
    assert figures(before(finished)[0]) == figures(alone)


def test_the_untrained_embedding_is_that_of_a_training_that_moves_nothing(
    finished: bier.Run, birds: Path, tmp_path: Path
) -> None:
    still = {**TINY, "optimizer": {"epochs": 1, "learning_rate": 0.0}}
    run = bier.train(birds, still, tmp_path / "still", quiet=True)
    assert run.metrics is not None
    assert figures(run.metrics.ensemble) == figures(before(finished)[1]) == figures(before(run)[1])


def test_a_run_of_an_older_version_that_goes_on_has_them_too(finished: bier.Run, birds: Path, tmp_path: Path) -> None:
    """It was begun without measuring them. The other runs that go on are in test_run.py."""
    with pytest.raises(Interrupted):
        bier.train(birds, TINY, tmp_path / "run", [At(3, interrupt)], quiet=True)
    RunFolder(tmp_path / "run").baseline.unlink()
    run = bier.open_run(tmp_path / "run").resume(quiet=True)
    assert run.metrics is not None
    assert finished.metrics is not None
    assert run.metrics.rows == finished.metrics.rows
    models = [(one.folder / "model.safetensors").read_bytes() for one in (run, finished)]
    assert models[0] == models[1], "measuring changes nothing of the training"


def test_another_evaluation_of_the_same_pictures_keeps_them(copy: bier.Run) -> None:
    rows = before(copy)
    found = copy.evaluate(recall_at=(1, 3), quiet=True)
    assert [row.kind for row in found.rows[:2]] == [*BEFORE]
    assert [row.recall for row in found.rows[:2]] == [{1: row.recall[1]} for row in rows], "3 was not measured then"
    assert copy.evaluate(quiet=True).rows[:2] == tuple(rows)


def test_other_pictures_or_another_count_leave_them_out_and_say_so(
    copy: bier.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for asked in ({"split": "val"}, {"missing": "miss"}):
        found = copy.evaluate(**asked)  # type: ignore[arg-type]
        assert found.pretrained is None
        assert found.untrained is None
        assert "the rows from before training are left out" in capsys.readouterr().out
        assert found.rows[0].name == "trained embedding"


def test_a_model_file_alone_has_no_start(finished: bier.Run, birds: Path, tmp_path: Path) -> None:
    shutil.copy(RunFolder(finished.folder).model, tmp_path / "model.safetensors")
    found = runs.evaluate(tmp_path / "model.safetensors", str(birds), Console(quiet=True), split="test")
    assert [found.rows[0].name, found.rows[-1].name] == ["ensemble", "backbone features"]


def test_without_training_the_embedding_is_called_untrained(copy: bier.Run) -> None:
    """A run without epochs has no history."""
    RunFolder(copy.folder).history.unlink()
    found = copy.evaluate(quiet=True)
    assert [row.name for row in found.rows[:2]] == ["random features", "whitening, untrained"]
    assert [row.kind for row in found.rows[:2]] == ["pretrained", "ensemble"]


def test_a_run_without_test_pictures_measures_nothing(birds: Path, tmp_path: Path) -> None:
    settings = {**TINY, "data.test_classes": 0, "optimizer": {"epochs": 1}}
    run = bier.train(birds, settings, tmp_path / "run", quiet=True)
    assert run.metrics is None
    assert not RunFolder(run.folder).baseline.exists()


def test_a_broken_file_is_named(copy: bier.Run) -> None:
    path = RunFolder(copy.folder).baseline
    content = json.loads(path.read_text())
    content["rows"][0]["first_right"] = "no base64!"
    path.write_text(json.dumps(content))
    with pytest.raises(bier.errors.DataError, match=r"baseline\.json"):
        copy.evaluate(quiet=True)
