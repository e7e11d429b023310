"""What happens to the head after the last step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import some_birds
from tiny_runs import TINY

import bier
from bier.network.model_file import load_model
from bier.records.provenance import Provenance
from bier.runs import embedding, finish
from bier.settings.reading import from_table, save

SETTINGS = {**TINY, "optimizer": {"epochs": 1}}


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4))


def head(folder: Path) -> torch.Tensor:
    return load_model(folder)[0].head.linear.weight.detach()


def unlucky(*arguments: Any) -> Any:
    raise bier.Interrupted


def test_an_average_that_validation_prefers_is_the_model(
    birds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bier.train(birds, {**SETTINGS, "model.refit": False}, tmp_path / "as trained", quiet=True)
    assert Provenance.load(tmp_path / "as trained").refit is None
    scores = iter([0.5, 0.4, 0.7, 0.6, 0.6])
    monkeypatch.setattr(finish, "POWERS", (0.5,))
    monkeypatch.setattr(finish, "validation_scores", lambda *arguments, **options: ({"map_at_r": next(scores)}, {}))
    bier.train(birds, SETTINGS, tmp_path / "averaged")
    taken = Provenance.load(tmp_path / "averaged").refit
    assert taken is not None
    assert (taken.power, taken.share, taken.before, taken.after) == (0.5, finish.SHARES[1], 0.5, 0.7)
    assert not torch.equal(head(tmp_path / "averaged"), head(tmp_path / "as trained"))
    assert "MAP@R 50.0 → 70.0 % on the validation classes" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("average", "share"), [(0.4, 0), (0.6, 0.3)], ids=["alone", "of an average"])
def test_a_rotation_that_validation_prefers_is_the_model(
    birds: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    average: float,
    share: float,
) -> None:
    scores = iter([0.5, average, 0.7])
    monkeypatch.setattr(finish, "POWERS", (0.5,))
    monkeypatch.setattr(finish, "SHARES", (0.3,))
    monkeypatch.setattr(finish, "validation_scores", lambda *arguments, **options: ({"map_at_r": next(scores)}, {}))
    run = bier.train(birds, SETTINGS, tmp_path / "run")
    taken = Provenance.load(tmp_path / "run").refit
    assert taken is not None
    assert (taken.rotated, taken.share, taken.before, taken.after) == (True, share, 0.5, 0.7)
    assert "MAP@R 50.0 → 70.0 % on the validation classes" in " ".join(capsys.readouterr().out.split())
    turned = load_model(tmp_path / "run")[0].head
    assert len(turned.weighting) == len(turned.sizes)
    assert list(turned.weighting) == sorted(turned.weighting, reverse=True)
    page = run.report().read_text(encoding="utf-8")
    assert "its strongest directions first: MAP@R 50.0" in page
    assert "2 learners in the order of strength" in page
    assert "the first learner holds the strongest directions" in page


@pytest.mark.parametrize("learners", [1, 2])
def test_one_learner_is_not_turned(birds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learners: int) -> None:
    turned = []
    monkeypatch.setattr(finish, "rotate", lambda head, *others: turned.append(head) or head)
    settings = {**SETTINGS, "model.learners": learners, "model.sizes": None}
    bier.train(birds, settings, tmp_path / "run", quiet=True)
    assert bool(turned) == (learners == 2)


def test_the_trained_head_stays_where_nothing_is_better(
    birds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bier.train(birds, {**SETTINGS, "model.refit": False}, tmp_path / "as trained", quiet=True)
    monkeypatch.setattr(finish, "validation_scores", lambda *arguments, **options: ({"map_at_r": 0.5}, {}))
    bier.train(birds, SETTINGS, tmp_path / "run", quiet=True)
    taken = Provenance.load(tmp_path / "run").refit
    assert taken is not None
    assert not taken.share
    assert not taken.rotated
    assert torch.equal(head(tmp_path / "run"), head(tmp_path / "as trained"))


@pytest.mark.slow
def test_a_run_stopped_behind_it_does_not_average_twice(
    birds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bier.runs.trainer, "now", unlucky)  # the model is written, and the run not yet complete
        with pytest.raises(bier.Interrupted):
            bier.train(birds, SETTINGS, tmp_path / "run", quiet=True)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert load_model(tmp_path / "run")[1].refit is not None
    bier.open_run(tmp_path / "run").resume(quiet=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert Provenance.load(tmp_path / "run").refit is not None


def test_without_validation_the_trained_head_is_the_model(birds: str, tmp_path: Path) -> None:
    bier.train(birds, {**SETTINGS, "data.validation_classes": 0}, tmp_path / "run", quiet=True)
    assert Provenance.load(tmp_path / "run").refit is None
    assert load_model(tmp_path / "run")[1].refit is None


def test_a_frozen_backbone_s_features_are_not_made_again(
    birds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "embed_manifest", unlucky)
    bier.train(birds, {**SETTINGS, "model.frozen": True, "data.views": 2}, tmp_path / "run", quiet=True)
    assert Provenance.load(tmp_path / "run").refit is not None


@pytest.mark.slow
def test_two_processes_have_one_model(birds: str, tmp_path: Path) -> None:
    save(from_table({**SETTINGS, "data.classes_per_batch": 2}), tmp_path / "settings.yaml")
    command = [sys.executable, "-m", "bier.cli", "train", birds, "--config", str(tmp_path / "settings.yaml")]
    command += ["--out", str(tmp_path / "run"), "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("on the validation classes, ") == 1, "rank 0 speaks"
    assert load_model(tmp_path / "run")[1].refit is not None
    assert Provenance.load(tmp_path / "run").refit is not None
