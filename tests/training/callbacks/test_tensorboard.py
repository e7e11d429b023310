"""Curves for TensorBoard, read back with its own reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import TINY, At, interrupt

import bier


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
