"""Training on features that a frozen backbone has made once, and runs without any training."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import some_birds
from safetensors.torch import load_file
from tiny_runs import TINY, At, interrupt

import bier
from bier.errors import ConfigError, StorageError
from bier.network.create import create_backbone
from bier.records.folder import RunFolder
from bier.records.history import validation_score
from bier.runs import tries
from bier.settings.reading import from_table, save
from bier.system.console import plain_console
from bier.training.stopping import Interrupted
from bier.vectors import features

# Of so few pictures, rounding would decide which average of heads is the best.
FROZEN = {**TINY, "model.frozen": True, "data.views": 3, "model.refit": False}
GROUPS = len(create_backbone("test_resnet", "none").groups())


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of four pictures; one cannot be read."""
    folder = some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)
    next(iter(sorted(folder.rglob("*.jpg")))).write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def finished(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> bier.Run:
    """A run that nobody disturbed; tests leave it as it is."""
    return bier.train(birds, FROZEN, tmp_path_factory.mktemp("runs") / "finished", quiet=True)


def largest_difference(one: bier.Run, other: bier.Run) -> float:
    """Between the weights of two models."""
    models = [load_file(run.folder / "model.safetensors") for run in (one, other)]
    assert models[0].keys() == models[1].keys()
    return max(float((models[0][name] - models[1][name]).abs().max()) for name in models[0] if models[0][name].numel())


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="boosted"),
        pytest.param(
            {"loss.name": "proxy_anchor", "diversity.loss": "adversarial"},
            id="with proxies and regressors",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"model.backbone": "efficientnet_lite0", "model.weights": "default", "image.size": 64},
            id="lite0",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_equals_training_with_a_frozen_backbone_on_the_same_views(
    more: dict[str, Any], birds: Path, tmp_path: Path
) -> None:
    frozen = bier.train(birds, {**FROZEN, **more}, tmp_path / "features", quiet=True)
    groups = GROUPS if "model.backbone" not in more else len(create_backbone("efficientnet_lite0", "none").groups())
    pictures = {**FROZEN, **more, "model.frozen": False, "optimizer.freeze": groups}
    usual = bier.train(birds, pictures, tmp_path / "pictures", quiet=True)
    assert largest_difference(frozen, usual) < 1e-5
    for one, other in zip(frozen.history, usual.history, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.diversity == pytest.approx(other.diversity, rel=1e-4)
        assert one.validation == pytest.approx(other.validation)
    assert frozen.metrics is not None and usual.metrics is not None
    assert frozen.metrics.ensemble.figures == pytest.approx(usual.metrics.ensemble.figures)


def test_a_run_leaves_a_usual_model_and_no_features(finished: bier.Run, birds: Path) -> None:
    assert finished.finished
    assert not RunFolder(finished.folder).features.exists()
    start = create_backbone("test_resnet", "none")
    assert finished.model.backbone.state_dict().keys() == start.state_dict().keys()
    picture = sorted(birds.rglob("*.jpg"))[-1]
    encoder = finished.encoder("cpu")
    assert encoder.encode([encoder.prepare(picture)]).norm() == pytest.approx(1)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The batches of features that are written, each of seven views: folder and first position."""
    monkeypatch.setattr(features, "BATCH", 7)
    found: list[tuple[str, int]] = []
    write = features.ViewFeatures.write

    def noting(store: features.ViewFeatures, batch: Any, values: Any, rank: int) -> None:
        write(store, batch, values, rank)
        found.append((store.folder.name, int(batch[0])))
        if len(found) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(features.ViewFeatures, "write", noting)
    return found


def test_an_interrupted_pass_goes_on_where_it_stopped(
    finished: bier.Run, birds: Path, tmp_path: Path, written: list[tuple[str, int]]
) -> None:
    with pytest.raises(Interrupted):
        bier.train(birds, FROZEN, tmp_path / "run", quiet=True)
    run = bier.open_run(tmp_path / "run")
    assert len(written) == 2
    assert not run.finished
    run.resume(quiet=True)
    assert len(written) > 4
    assert len(set(written)) == len(written), "some were made twice"
    assert largest_difference(run, finished) < 1e-6


def test_pictures_that_were_replaced_meanwhile_meet_no_old_features(
    birds: Path, tmp_path: Path, written: list[tuple[str, int]]
) -> None:
    photos = Path(shutil.copytree(birds, tmp_path / "photos"))
    with pytest.raises(Interrupted):
        bier.train(photos, FROZEN, tmp_path / "run", quiet=True)
    for picture in photos.rglob("*.jpg"):
        os.utime(picture, (1, 1))
    bier.open_run(tmp_path / "run").resume(quiet=True)
    assert written[2][0] != written[0][0]
    assert written[2][1] == 0


def test_an_interrupted_training_goes_on_bit_for_bit(finished: bier.Run, birds: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        bier.train(birds, FROZEN, tmp_path / "run", [At(3, interrupt)], quiet=True)
    assert RunFolder(tmp_path / "run").features.is_dir()
    run = bier.open_run(tmp_path / "run").resume(quiet=True)
    models = [(folder / "model.safetensors").read_bytes() for folder in (run.folder, finished.folder)]
    assert models[0] == models[1]


def test_a_disk_that_is_too_small_is_known_before(birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match=r"pictures in 3 views need 1 MB, and it has 0 MB left\n.*data.views"):
        bier.train(birds, FROZEN, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    assert bier.open_run(tmp_path / "run").resume(quiet=True).finished


def test_tries_share_the_features(birds: Path, tmp_path: Path, written: list[tuple[str, int]]) -> None:
    rates = ("optimizer.learning_rate=1e-4,1e-3",)
    config = from_table(FROZEN)
    with pytest.raises(Interrupted):
        tries.train(str(birds), config, rates, tmp_path / "run", plain_console(quiet=True))
    tries.resume(tmp_path / "run", plain_console(quiet=True))
    assert len(set(written)) == len(written) > 4
    assert bier.open_run(tmp_path / "run").finished
    assert not [*tmp_path.rglob("values.bin")]


@pytest.mark.parametrize("more", [pytest.param({}, marks=pytest.mark.slow), {"model.frozen": True}], ids=["", "frozen"])
def test_no_epochs_are_a_whole_run(more: dict[str, Any], birds: Path, tmp_path: Path) -> None:
    run = bier.train(birds, {**TINY, **more, "optimizer.epochs": 0}, tmp_path / "run", quiet=True)
    assert run.finished
    assert [epoch.epoch for epoch in run.history] == [0]
    assert 0 < validation_score(run.folder) <= 1
    assert run.metrics is not None and run.metrics.queries == 20
    assert "0 epochs" not in run.report().read_text()
    assert "no training" in run.report().read_text()
    assert run.evaluate(split="val", quiet=True).queries > 0
    still = {"optimizer.learning_rate": 0, "optimizer.epochs": 1, "model.refit": False}
    again = bier.train(birds, {**TINY, **still}, tmp_path / "1", quiet=True)
    assert largest_difference(run, again) == 0
    with pytest.raises(ConfigError, match="this run is complete"):
        run.resume(quiet=True)


def test_no_epochs_of_a_random_head_are_refused(birds: Path, tmp_path: Path) -> None:
    settings = {**TINY, "optimizer.epochs": 0, "model.start": "random"}
    with pytest.raises(ConfigError, match="a head of random weights stays random"):
        bier.train(birds, settings, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_make_the_run_of_one(birds: Path, tmp_path: Path) -> None:
    config = from_table({**FROZEN, "data.classes_per_batch": 2})
    save(config, tmp_path / "settings.yaml")
    found = []
    for processes in ("1", "2"):
        found.append(bier.Run(tmp_path / processes))
        command = [sys.executable, "-m", "bier.cli", "train", str(birds), "--config", str(tmp_path / "settings.yaml")]
        command += ["--out", str(found[-1].folder), "--processes", processes]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("features of") == 2
    assert largest_difference(*found) < 1e-5
