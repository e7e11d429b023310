"""A run learns how sure its model's answers are."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import some_birds
from tiny_runs import TINY

import bier
from bier.network.model_file import load_model
from bier.report import write_report
from bier.vectors.encoder import Encoder

SETTINGS = {**TINY, "optimizer": {"epochs": 1}, "model.refit": False}


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=20, images=4))


def test_it_is_kept_with_the_model(birds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = bier.train(birds, SETTINGS, tmp_path).metrics
    learned = Encoder.load(tmp_path).calibration
    assert learned is not None and learned.sizes == (8, 16) and 0 < learned.known_at < 1
    assert "how sure answers are was learned from" in " ".join(capsys.readouterr().out.split())
    assert metrics is not None and metrics.confidence is not None
    assert sum(each.count for each in metrics.confidence.right.bins) == metrics.confidence.queries == 40
    assert "How sure it is" in write_report([tmp_path], tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_held_out_classes_it_is_said(birds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bier.train(birds, {**SETTINGS, "data.validation_classes": 0.0}, tmp_path)
    assert load_model(tmp_path)[1].calibration is None
    assert "cannot say how sure its answers are: no classes are held out" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_too_few_of_them_are_said(birds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bier.train(birds, {**SETTINGS, "data.validation_classes": 0.2}, tmp_path)
    assert load_model(tmp_path)[1].calibration is None
    assert "2 classes have another picture to find, and 4 are needed" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_it_can_be_left_out(birds: str, tmp_path: Path) -> None:
    bier.train(birds, {**SETTINGS, "model.calibrate": False}, tmp_path, quiet=True)
    assert load_model(tmp_path)[1].calibration is None
