"""From Python: a run from any source, what it offers, and what becomes of mistakes and interruptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pytest
import torch
from folders import some_birds
from tiny_runs import TINY, At, fail, interrupt

import bier
from bier.data import open_source
from bier.errors import ConfigError, DataError, ModelError
from bier.records.history import Epoch
from bier.records.metrics import Metrics
from bier.training.callbacks import Callback, Running, Step


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)


@pytest.fixture(scope="module")
def frame(birds: Path) -> pandas.DataFrame:
    """The rows of the folder, in its order."""
    manifest = open_source(birds)
    return pandas.DataFrame({"image": [manifest.path(row) for row in range(len(manifest))], "label": manifest.label})


@pytest.fixture(scope="module")
def finished(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> bier.Run:
    """A run that nobody disturbed; tests leave it as it is."""
    return bier.train(birds, TINY, tmp_path_factory.mktemp("runs") / "finished", quiet=True)


def history(run: bier.Run) -> list[Epoch]:
    """Without what is allowed to differ: the time that it took, and the form of the paths."""
    return [replace(epoch, seconds=0.0, images_per_second=0.0, hardest={}) for epoch in run.history]


def same(one: bier.Run, other: bier.Run) -> bool:
    models = [(run.folder / "model.safetensors").read_bytes() for run in (one, other)]
    return models[0] == models[1] and history(one) == history(other) and _figures(one) == _figures(other)


def _figures(run: bier.Run) -> Any:
    return run.metrics and run.metrics.rows


class Recorder(Callback):
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: BaseException | None = None

    def on_start(self, run: Running) -> None:
        assert (run.epochs, run.batches, run.stopping) == (2, 2, False)
        assert run.settings["image"]["size"] == 32
        assert isinstance(run.model, bier.RetrievalModel)
        self.calls.append(f"start {run.step}")

    def on_step(self, run: Running, step: Step) -> None:
        assert run.step == step.number
        assert len(step.learner_losses) == 2
        self.calls.append(f"step {step.number} of {step.epoch}.{step.batch}")

    def on_validation(self, run: Running, scores: Mapping[str, float]) -> None:
        assert set(scores) == {"recall@1", "map_at_r"}
        self.calls.append("validation")

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        assert epoch.kept in (True, False)
        self.calls.append(f"epoch {epoch.epoch}")

    def on_end(self, run: Running, error: BaseException | None) -> None:
        self.error = error
        self.calls.append("end")


@pytest.mark.parametrize(
    "kind", ["frame", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("arrow", "pairs"))]
)
def test_every_source_of_the_same_rows_trains_the_same_model(
    kind: str, frame: pandas.DataFrame, finished: bier.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = frame.astype(str)
    sources = {
        "frame": frame.set_index(frame.index[::-1]),
        "arrow": pyarrow.table(text),
        "pairs": list(zip(frame["image"], frame["label"], strict=True)),
    }
    monkeypatch.chdir(tmp_path)
    run = bier.train(sources[kind], TINY, quiet=True)
    assert run.folder.parent == Path("runs")
    assert run.folder.name.startswith("table-")
    assert same(run, finished)


def test_what_a_run_offers(finished: bier.Run, birds: Path) -> None:
    assert finished.finished
    assert repr(finished) == f"Run({str(finished.folder)!r})"
    assert finished.settings.image.size == 32
    assert [epoch.epoch for epoch in finished.history] == [1, 2]
    assert finished.metrics.as_dict() == json.loads((finished.folder / "metrics.json").read_text())
    assert finished.metrics is not None
    assert finished.metrics.queries == 20
    assert finished.model.head.sizes == (8, 16)
    picture = next(birds.rglob("*.jpg"))
    encoder = finished.encoder("cpu")
    vectors = encoder.encode([encoder.prepare(picture)])
    assert vectors.shape == (1, 24)
    assert vectors.norm() == pytest.approx(1)
    again = bier.open_run(str(finished.folder))
    assert torch.equal(again.encoder("cpu").encode([encoder.prepare(picture)]), vectors)


def test_settings_may_be_nested_or_dotted_or_a_file(
    birds: Path, finished: bier.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bier.train(str(birds), finished.folder / "config.yaml", tmp_path / "file", quiet=True)
    assert same(run, finished)
    run = bier.train(birds, finished.settings, str(tmp_path / "config"), quiet=True)
    assert same(run, finished)
    assert capsys.readouterr().out == ""


def test_a_run_says_what_it_does_unless_it_is_to_be_quiet(
    birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bier.train(birds, {**TINY, "optimizer.epochs": 1}, tmp_path / "run")
    out = capsys.readouterr().out
    assert "epoch 1/1" in out
    assert "trained embedding" in out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer.epoch": 2}, r"settings: unknown setting 'optimizer.epoch'\n  → did you mean 'optimizer.epochs'"),
        ({"optimizer": {"epochs": "many"}}, "settings: optimizer.epochs: 'many' is not a whole number"),
        ({"optimizer.epochs": -1}, "settings: optimizer.epochs"),
        ({"model.sizes": [8, 16], "model.dimensions": 512}, "sum to 24"),
        ({"optimizer": 3}, "unknown setting 'optimizer'"),
        (3, "a int holds no settings"),
        ("no-such-file.yaml", "cannot be read"),
    ],
)
def test_wrong_settings_leave_nothing(
    settings: Any, message: str, frame: pandas.DataFrame, birds: Path, tmp_path: Path
) -> None:
    for source in (frame, birds):
        with pytest.raises(ConfigError, match=message):
            bier.train(source, settings, tmp_path / "run", quiet=True)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([("a.jpg", "x")], "one class only"),
        (pandas.DataFrame({"image": ["a.jpg"]}), "no column 'label'"),
        ([(f"{i}.jpg", i // 2, "train") for i in range(8)], "is no pair"),
        (pandas.DataFrame({"image": list("abcd"), "label": list("xxyy"), "split": "test"}), "no training images"),
        (3, "a int is no source of pictures"),
        ("no-such-folder", "there is no such file or folder"),
    ],
)
def test_wrong_sources_leave_nothing(source: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        bier.train(source, TINY, tmp_path / "run", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("callbacks", [Callback, Callback(), [Callback], [print], "mlflow", None])
def test_wrong_callbacks_leave_nothing(callbacks: Any, finished: bier.Run, birds: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no list of callbacks"):
        bier.train(birds, TINY, tmp_path / "run", callbacks)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="is no list of callbacks"):
        finished.resume(callbacks)


def test_a_mistake_leaves_the_users_own_folder_alone(frame: pandas.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="no training images"):
        bier.train(frame.assign(split="test"), TINY, tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_with_a_run_is_not_overwritten(finished: bier.Run, birds: Path, frame: pandas.DataFrame) -> None:
    before = sorted(path.name for path in finished.folder.iterdir())
    for source in (birds, frame):
        with pytest.raises(ConfigError, match="holds a run already"):
            bier.train(source, TINY, finished.folder, quiet=True)
    assert sorted(path.name for path in finished.folder.iterdir()) == before
    with pytest.raises(ConfigError, match="this run is complete"):
        finished.resume()


def test_what_is_no_run_is_not_opened(birds: Path, tmp_path: Path) -> None:
    for folder in (birds, tmp_path / "nothing"):
        with pytest.raises(ModelError, match="is not the folder of a run"):
            bier.open_run(folder)


def test_callbacks_are_called_in_order(birds: Path, finished: bier.Run, tmp_path: Path) -> None:
    recorder = Recorder()
    run = bier.train(birds, TINY, tmp_path / "run", [recorder], quiet=True)
    first = ["step 1 of 1.1", "step 2 of 1.2", "validation", "epoch 1"]
    second = ["step 3 of 2.1", "step 4 of 2.2", "validation", "epoch 2"]
    assert recorder.calls == ["start 0", *first, *second, "end"]
    assert recorder.error is None
    assert same(run, finished), "watching changes nothing"


@pytest.mark.parametrize("number", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_an_interrupted_run_goes_on_bit_for_bit(
    number: int, frame: pandas.DataFrame, finished: bier.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = Recorder(), Recorder()
    with pytest.raises(bier.Interrupted):
        bier.train(frame, TINY, tmp_path / "run", [At(number, interrupt), before], quiet=True)
    assert isinstance(before.error, bier.Interrupted)
    run = bier.open_run(tmp_path / "run")
    assert not run.finished
    assert repr(run).endswith(", unfinished)")
    assert len(run.history) == number // 2
    assert run.metrics is None
    monkeypatch.chdir(tmp_path)
    run = run.resume([after], quiet=True)
    assert after.calls[0] == f"start {number}"
    assert run.finished
    assert same(run, finished)


def test_a_resumed_run_shows_its_new_model(birds: Path, tmp_path: Path) -> None:
    settings = {**TINY, "data.validation_classes": 0}  # so that the last epoch is kept
    with pytest.raises(bier.Interrupted):
        bier.train(birds, settings, tmp_path / "run", [At(5, interrupt)], quiet=True)
    run = bier.open_run(tmp_path / "run")
    early = run.model.head.linear.weight
    late = run.resume(quiet=True).model.head.linear.weight
    assert not torch.equal(early, late)


@pytest.mark.parametrize("number", [*(pytest.param(number, marks=pytest.mark.slow) for number in (1, 2)), 4])
def test_a_run_whose_callback_fails_can_be_resumed(
    number: int, birds: Path, finished: bier.Run, tmp_path: Path
) -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError, match="a mistake in a callback"):
        bier.train(birds, TINY, tmp_path / "run", [recorder, At(number, fail)], quiet=True)
    assert isinstance(recorder.error, ZeroDivisionError)
    assert recorder.calls[-1] == "end"
    assert "stopped: ZeroDivisionError" in (tmp_path / "run" / "log.txt").read_text()
    assert same(bier.open_run(tmp_path / "run").resume(quiet=True), finished)


def test_a_run_whose_callback_cannot_start_can_be_resumed(birds: Path, finished: bier.Run, tmp_path: Path) -> None:
    class Refuses(Recorder):
        def on_start(self, run: Running) -> None:
            raise ConnectionError("no such server")

    first, second = Recorder(), Refuses()
    with pytest.raises(ConnectionError):
        bier.train(birds, TINY, tmp_path / "run", [first, second], quiet=True)
    assert first.calls == ["start 0", "end"]
    assert second.calls == [], "what has not started is not ended"
    assert same(bier.open_run(tmp_path / "run").resume(quiet=True), finished)


def test_all_callbacks_are_ended_even_where_one_fails(birds: Path, tmp_path: Path) -> None:
    class FailsAtTheEnd(Callback):
        def on_end(self, run: Running, error: BaseException | None) -> None:
            raise ZeroDivisionError

    first, last = Recorder(), Recorder()
    with pytest.raises(ZeroDivisionError):
        bier.train(birds, TINY, tmp_path / "run", [first, FailsAtTheEnd(), last], quiet=True)
    assert first.calls[-1] == last.calls[-1] == "end"
    assert bier.open_run(tmp_path / "run").resume(quiet=True).metrics is not None


class StopAtOnce(Callback):
    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        run.stop_early()


def test_a_callback_stops_a_run_early(birds: Path, finished: bier.Run, tmp_path: Path) -> None:
    run = bier.train(birds, TINY, tmp_path / "run", [StopAtOnce()], quiet=True)
    assert run.finished
    assert len(run.history) == 1
    assert run.history[0].validation == finished.history[0].validation
    assert run.metrics is not None
    assert not (run.folder / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_a_wish_to_stop_early_outlives_an_interruption(birds: Path, tmp_path: Path) -> None:
    wish = At(1, Running.stop_early)
    straight = bier.train(birds, TINY, tmp_path / "straight", [wish], quiet=True)
    assert len(straight.history) == 1
    with pytest.raises(bier.Interrupted):
        bier.train(birds, TINY, tmp_path / "run", [wish, At(1, interrupt)], quiet=True)
    assert same(bier.open_run(tmp_path / "run").resume(quiet=True), straight)


@pytest.mark.slow
def test_a_run_that_stopped_early_and_was_killed_stays_stopped(birds: Path, tmp_path: Path) -> None:
    class Killed(Callback):
        def on_end(self, run: Running, error: BaseException | None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bier.train(birds, TINY, tmp_path / "run", [StopAtOnce(), Killed()], quiet=True)
    run = bier.open_run(tmp_path / "run").resume(quiet=True)
    assert len(run.history) == 1
    assert run.metrics is not None


def test_another_source_is_evaluated(finished: bier.Run, birds: Path, frame: pandas.DataFrame) -> None:
    before = (finished.folder / "metrics.json").read_bytes()
    other = frame[frame["label"].isin(frame["label"].unique()[-3:])].assign(split="test")
    figures = finished.evaluate(other, recall_at=(4, 1, 4), missing="miss", quiet=True)
    assert figures.queries == 12
    assert list(figures.ensemble.recall) == [1, 4]
    assert Metrics.load(finished.folder / "metrics-table-test.json") == figures
    assert (finished.folder / "metrics.json").read_bytes() == before
    with pytest.raises(DataError, match="no images in the split 'val'"):
        finished.evaluate(other, split="val", quiet=True)
    assert finished.evaluate(birds, split="val", quiet=True).queries == 8


def test_its_own_table_is_recognised(frame: pandas.DataFrame, tmp_path: Path) -> None:
    run = bier.train(frame, {**TINY, "optimizer.epochs": 1}, tmp_path / "run", quiet=True)
    expected = run.metrics
    assert expected is not None
    (run.folder / "metrics.json").unlink()
    assert run.metrics is None
    run.evaluate(frame, quiet=True)
    assert run.metrics is not None
    assert run.metrics.rows == expected.rows
    assert run.evaluate(frame, split="val", quiet=True).rows == run.evaluate(split="val", quiet=True).rows


def test_a_report_is_written(finished: bier.Run, tmp_path: Path) -> None:
    assert "<html" in finished.report().read_text()
    assert finished.report(tmp_path / "page.html") == tmp_path / "page.html"
    (finished.folder / "report.html").unlink()


def test_broken_metrics_are_told(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(DataError, match="broken JSON"):
        _ = bier.Run(tmp_path).metrics
