"""Float32 or bfloat16 in training: what a trial leaves alone, what is said and kept, and what wins over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run
from folders import some_birds
from safetensors.torch import load_file
from tiny_runs import TINY as EXACT
from tiny_runs import At, interrupt

import bier
from bier.network.create import create_backbone
from bier.runs import precision
from bier.settings.reading import from_table, save
from bier.training.stopping import Interrupted

TINY = {**EXACT, "hardware.precision": "auto"}


@pytest.fixture
def birds(photographs: Path, tmp_path: Path) -> Path:
    return some_birds(photographs, tmp_path / "photos", classes=10, images=4)


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with bfloat16, on which a step takes half the time in it."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(precision, "tried", lambda backbone, images, size: 0.5)


@pytest.mark.slow
def test_a_trial_changes_neither_weights_nor_gradients_nor_random_numbers() -> None:
    backbone = create_backbone("test_resnet", "none")
    before, state = {name: value.clone() for name, value in backbone.state_dict().items()}, torch.get_rng_state()
    assert 0 < precision.tried(backbone, images=4, size=32) < 100
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_nothing_is_gained_where_nothing_is_trained() -> None:
    backbone = create_backbone("test_resnet", "none")
    backbone.requires_grad_(False)
    assert precision.tried(backbone, images=4, size=32) == 1


@pytest.mark.slow
def test_the_choice_is_said_and_kept_and_a_resumed_run_goes_on_bit_for_bit(
    able: None, birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    whole = bier.train(birds, TINY, tmp_path / "whole")
    assert "precision: bfloat16, since a step in bfloat16 takes 0.50" in capsys.readouterr().out
    assert whole.settings.hardware.precision == "bfloat16"
    with pytest.raises(Interrupted):
        bier.train(birds, TINY, tmp_path / "cut", [At(3, interrupt)], quiet=True)
    monkeypatch.setattr(precision, "tried", lambda backbone, images, size: 2.0)
    bier.open_run(tmp_path / "cut").resume(quiet=True)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.slow
def test_a_setting_that_is_given_wins(able: None, birds: Path, tmp_path: Path, capsys: Any) -> None:
    save(from_table({**TINY, "optimizer.epochs": 1}), tmp_path / "tiny.yaml")
    words = ("train", birds, "--config", tmp_path / "tiny.yaml", "--out", tmp_path / "run")
    code, out, error = run(capsys, *words, "--set", "hardware.precision=float32")
    assert (code, "precision:" in out) == (0, False), error
    assert bier.open_run(tmp_path / "run").settings.hardware.precision == "float32"
