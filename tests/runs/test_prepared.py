"""Runs that read prepared copies: what they tell, keep and give, and what bad folders get."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import run
from folders import some_birds
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import TINY

import bier
from bier.settings.reading import from_table, save


@pytest.fixture
def birds(photographs: Path, tmp_path: Path) -> Path:
    """Ten classes of four photographs, three times as large as they are."""
    folder = some_birds(photographs, tmp_path / "photos", classes=10, images=4)
    for file in folder.rglob("*.jpg"):
        with Image.open(file) as picture:
            larger = picture.convert("RGB").resize((picture.width * 3, picture.height * 3))
        larger.save(file, quality=90)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    save(from_table({**TINY, "optimizer.epochs": 1, "model.refit": False}), file)
    return file


def trained(capsys: Any, birds: Path, settings: Path, name: str, *more: object) -> tuple[Path, str]:
    """The run's folder, and what was printed."""
    out = birds.parent / name
    code, printed, error = run(capsys, "train", birds, "--config", settings, "--out", out, *more)
    assert code == 0, error
    return out, printed


@pytest.mark.slow
def test_copies_that_are_as_large_as_the_pictures_change_nothing(
    capsys: Any, photographs: Path, tmp_path: Path, settings: Path
) -> None:
    small = some_birds(photographs, tmp_path / "photos", classes=10, images=4)
    for file in small.rglob("*.jpg"):
        with Image.open(file) as picture:
            smaller = picture.convert("RGB").resize((50, 40))
        smaller.save(file)
    plain, _ = trained(capsys, small, settings, "plain")
    copied, printed = trained(capsys, small, settings, "copied", "--prepared", tmp_path / "copies")
    assert "prepared copies: 40 made in" in printed
    one, other = (load_file(folder / "model.safetensors") for folder in (plain, copied))
    assert all(one[name].equal(other[name]) for name in one)
    code, printed, error = run(capsys, "evaluate", copied)
    assert code == 0, error
    assert "prepared copies: all 20 are in" in printed
    shutil.rmtree(tmp_path / "copies")
    code, printed, error = run(capsys, "evaluate", copied)
    assert code == 0, error
    assert "are gone: pictures are read whole" in printed


def test_bad_folders_are_one_message(capsys: Any, birds: Path, settings: Path, tmp_path: Path) -> None:
    for folder, message in ((birds, "something else than prepared copies"), ("s3://shop/copies", "not a folder of")):
        code, _, error = run(
            capsys, "train", birds, "--config", settings, "--out", tmp_path / "r", "--prepared", folder
        )
        assert code == 2
        assert message in error
        assert "Traceback" not in error


@pytest.mark.slow
def test_a_changed_picture_is_said_and_tries_share_the_copies(
    capsys: Any, birds: Path, settings: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    _, printed = trained(capsys, birds, settings, "one", "--prepared", copies, "--set", "image.crop_scale=0.3")
    assert "40 made" in printed
    first, second = sorted(birds.rglob("*.jpg"))[:2]
    second.write_bytes(first.read_bytes() + b" ")
    first.write_bytes(b"no picture")
    tries = ("--try", "optimizer.learning_rate=1e-3,1e-4", "--try", "image.crop_scale=0.3,0.5")
    out, printed = trained(capsys, birds, settings, "two", "--prepared", copies, *tries)
    assert printed.count("new ones for 2 pictures changed since") == 1
    assert printed.count("since they cannot be read: 1 picture\n") >= 4
    assert {path.name for path in copies.iterdir()} == {"32-crop-0.3", "32-crop-0.5", "prepared.json"}
    assert bier.open_run(out).settings.data.prepared == str(copies)


@pytest.mark.slow
def test_several_processes_share_the_work(birds: Path, settings: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bier.cli", "train", birds, "--config", settings, "--processes", "2"]
    more = ["--set", "data.classes_per_batch=2", "--out", tmp_path / "run", "--prepared", tmp_path / "copies"]
    done = subprocess.run([*map(str, [*command, *more])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "prepared copies: 40 made in" in done.stdout
    assert len(list((tmp_path / "copies").glob("*/*/*"))) == 40
