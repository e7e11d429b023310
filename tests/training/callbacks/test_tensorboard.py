"""Curves for TensorBoard, read back with its own reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from tiny_runs import TINY, At, interrupt

import bier
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.training.callbacks import Running, Step
from bier.training.callbacks.tensorboard import TensorBoard


def curves(folder: Path) -> dict[str, list[int]]:
    """The steps of each curve."""
    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {name: [event.step for event in reader.Scalars(name)] for name in reader.Tags()["scalars"]}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_resumed_run_shows_each_step_once(number: int, birds: Path, tmp_path: Path) -> None:
    with pytest.raises(bier.Interrupted):
        bier.train(birds, TINY, tmp_path / "run", [At(number, interrupt)], quiet=True)
    run = bier.open_run(tmp_path / "run").resume(quiet=True)
    found = curves(run.folder)
    assert found["train/loss"] == found["train/learning_rate_factor"] == [1, 2, 3, 4]
    assert found["validation/recall@1"] == found["train/loss_learner_2"] == [2, 4]


def test_a_run_resumed_within_a_second_shows_what_came_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files' names end in a count, and "10" sorts before "9"."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(9))
    model = RetrievalModel(create_backbone("test_resnet", "none"), EmbeddingEnsemble(4, [2]))
    callback = TensorBoard(tmp_path / "tensorboard")
    for number in (1, 2):
        running = Running(tmp_path, {}, model, epochs=1, batches=2, step=number - 1)
        callback.on_start(running)
        callback.on_step(running, Step(number, 1, number, 1.0, 0.5, (0.5,), 0.0, 9.0, 1.0))
        callback.on_end(running, None)
    assert curves(tmp_path)["train/loss"] == [1, 2]
