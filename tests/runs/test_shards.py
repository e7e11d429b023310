"""Runs from tar shards: the same batches, weights and figures as from the same pictures in a folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from folders import some_birds
from tiny_runs import TINY, At, interrupt

import bier


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)


@pytest.fixture(scope="module")
def shards(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of them, each with pictures of all classes in no order."""
    folder = tmp_path_factory.mktemp("shards")
    pictures = sorted(birds.rglob("*.jpg"), key=lambda path: path.name[::-1])
    for number in range(3):
        with tarfile.open(folder / f"part-{number}.tar", "w") as tar:
            for picture in pictures[number::3]:
                tar.add(picture, str(picture.relative_to(birds)))
    return folder


def model(run: bier.Run) -> bytes:
    return (run.folder / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_shards_train_the_model_of_the_folder(birds: Path, shards: Path, tmp_path: Path, workers: int) -> None:
    settings = {**TINY, "data.workers": workers}
    whole = bier.train(birds, settings, tmp_path / "folder", quiet=True)
    run = bier.train(shards, settings, tmp_path / "shards", quiet=True)
    assert model(run) == model(whole)
    assert whole.metrics is not None and run.metrics is not None
    assert run.metrics.rows == whole.metrics.rows
    again = run.evaluate()
    assert again.rows == run.metrics.rows


@pytest.mark.slow
def test_a_run_from_shards_goes_on_bit_for_bit(shards: Path, tmp_path: Path) -> None:
    whole = bier.train(shards, TINY, tmp_path / "whole", quiet=True)
    with pytest.raises(bier.Interrupted):
        bier.train(shards, TINY, tmp_path / "run", [At(3, interrupt)], quiet=True)
    run = bier.open_run(tmp_path / "run").resume(quiet=True)
    assert model(run) == model(whole)
