"""Which epochs are validated, and what becomes of the others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from folders import some_birds
from tiny_runs import TINY, At, interrupt

import bier
from bier.records.history import Epoch
from bier.runs.machine import validations
from bier.settings.schema import Config
from bier.training.callbacks import Callback, Running
from bier.training.job import Job
from bier.training.stopping import Interrupted


@pytest.mark.parametrize(
    ("epochs", "count", "expected"),
    [
        (10, 3, [3, 7, 10]),
        (6, 3, [2, 4, 6]),
        (5, None, [1, 2, 3, 4, 5]),
        (4, 9, [1, 2, 3, 4]),
        (7, 1, [7]),
        (1, 3, [1]),
        (0, 3, []),
    ],
)
def test_validated_epochs_are_spread_and_the_last_is_one(epochs: int, count: int | None, expected: list[int]) -> None:
    job = SimpleNamespace(epochs=epochs, validations=count)
    assert Job.validated(job) == expected  # type: ignore[arg-type]
    assert partial(Job.validated, job)(3) == [epoch for epoch in expected if epoch > 3]


def test_a_third_of_the_epochs_is_validated_and_three_at_least() -> None:
    counts = [validations(Config().replace(optimizer__epochs=epochs)) for epochs in (0, 1, 2, 3, 6, 10, 30)]
    assert counts == [1, 1, 2, 3, 3, 3, 10]
    assert validations(Config().replace(optimizer__epochs=30, model__frozen=True)) == 30


class StopAfter(Callback):
    """Ends a run when an epoch is over."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        if epoch.epoch == self.epoch:
            run.stop_early()


@pytest.fixture
def birds(photographs: Path, tmp_path: Path) -> Path:
    return some_birds(photographs, tmp_path / "photos", classes=10, images=4)


LONG = {**TINY, "optimizer.epochs": 6, "model.refit": False, "model.calibrate": False}


@pytest.mark.slow
def test_a_run_says_which_epochs_were_validated_and_goes_on_bit_for_bit(birds: Path, tmp_path: Path) -> None:
    whole = bier.train(birds, LONG, tmp_path / "whole", quiet=True)
    assert [epoch.epoch for epoch in whole.history if epoch.validation] == [2, 4, 6]
    assert whole.settings.data.validations == 3
    [kept] = [epoch for epoch in whole.history if epoch.kept]
    assert kept.validation
    with pytest.raises(Interrupted):
        bier.train(birds, LONG, tmp_path / "cut", [At(5, interrupt)], quiet=True)
    cut = bier.open_run(tmp_path / "cut").resume(quiet=True)
    assert [(e.validation, e.kept) for e in cut.history] == [(e.validation, e.kept) for e in whole.history]
    assert (cut.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_an_epoch_that_becomes_the_last_is_validated(birds: Path, tmp_path: Path) -> None:
    run = bier.train(birds, LONG, tmp_path / "stopped", [StopAfter(3)], quiet=True)
    assert [epoch.epoch for epoch in run.history if epoch.validation] == [2, 3]
    assert sum(epoch.kept for epoch in run.history) == 1


@pytest.mark.slow
def test_a_model_is_there_before_the_first_validation(birds: Path, tmp_path: Path) -> None:
    steps = 2  # of an epoch
    with pytest.raises(Interrupted):
        bier.train(birds, LONG, tmp_path / "cut", [At(steps + 1, interrupt)], quiet=True)
    assert (tmp_path / "cut" / "model.safetensors").is_file()
