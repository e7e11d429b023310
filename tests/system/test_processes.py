"""Several processes: the run of one, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from folders import some_birds
from safetensors.torch import load_file

from bier.errors import ConfigError
from bier.records.lock import held
from bier.settings.reading import save
from bier.settings.schema import Config

CONFIG = Config().replace(
    loss__name="binomial_deviance",
    image__size=48,
    optimizer__epochs=2,
    optimizer__freeze=6,
    data__classes_per_batch=4,
    data__images_per_class=2,
    data__workers=1,
    data__validation_classes=0.4,
    data__test_classes=0.4,
    model__sizes=(8, 16),
    model__start="random",
    model__calibrate=False,
    model__refit=False,  # of so few pictures, rounding decides which average is the best
    diversity__loss="both",
    diversity__hidden=16,
    hardware__threads=1,
)


@pytest.fixture
def birds(photographs: Path, tmp_path: Path) -> Path:
    """Twelve classes of six photographs of birds, of which some cannot be read."""
    root = tmp_path / "photos"
    some_birds(photographs, root, classes=12, images=6)
    for broken in root.glob("*/0001.jpg"):
        broken.write_bytes(broken.read_bytes()[:200])
    return root


def train(source: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    settings = out.parent / "settings.yaml"
    save(CONFIG, settings)
    command = [sys.executable, "-m", "bier.cli", "train", str(source), "--config", str(settings), "--out", str(out)]
    return start([*command, *options])


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def wait_for_an_epoch(process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 200
    while not (folder / "history.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def hardest(epoch: dict[str, Any]) -> list[Any]:
    return [pair["pictures"] for kind in ("positive", "negative") for pair in epoch["hardest"][kind]]


@pytest.mark.slow
@pytest.mark.timeout(900)  # three trainings, which share two cores with other tests
def test_two_processes_interrupted_and_resumed_make_the_run_of_one(birds: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    printed, _ = train(birds, alone).communicate(timeout=300)
    assert (alone / "metrics.json").exists(), printed

    process = train(birds, together, "--processes", "2")
    wait_for_an_epoch(process, together)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed, _ = process.communicate(timeout=100)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    resume = ["train", "--resume", str(together), "--processes", "2"]
    assert " ".join(resume) in printed

    printed, _ = start([sys.executable, "-m", "bier.cli", *resume]).communicate(timeout=300)
    assert printed.count("epoch 2/2") == 1, "one of them speaks"
    assert printed.count("error") == 0
    one, two = (
        [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()] for run in (alone, together)
    )
    for mine, theirs in zip(one, two, strict=True):
        for key in ("loss", "diversity", "learner_losses"):
            assert theirs[key] == pytest.approx(mine[key], rel=1e-4)
        assert theirs["validation"] == pytest.approx(mine["validation"], abs=0.02)
        assert hardest(theirs) == hardest(mine)
    mine, theirs = (load_file(run / "model.safetensors") for run in (alone, together))
    assert max((mine[key] - theirs[key]).abs().max() for key in mine if mine[key].is_floating_point()) < 1e-4
    provenance = json.loads((together / "provenance.json").read_text())
    assert provenance["processes"] == 2
    unreadable = json.loads((alone / "provenance.json").read_text())["unreadable"]
    assert sorted(provenance["unreadable"]) == sorted(unreadable)
    assert unreadable
    assert (together / "report.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the process to kill in /proc")
def test_one_is_killed(birds: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # Epochs of three batches start decoding processes all the time, and one that is ended while it starts is told of.
    no_workers = ["--set", "data.workers=0"]
    process = train(birds, folder, "--processes", "2", "--set", "optimizer.epochs=1000", *no_workers)
    wait_for_an_epoch(process, folder)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    second = next(pid for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(int(second), signal.SIGKILL)
    printed, _ = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGKILL
    # Rank 0 hears of it from the connection, or is stopped before it has.
    assert printed.count("process 2 of 2 was ended by SIGKILL") == 1, printed
    assert "Traceback" not in printed
    assert (folder / "checkpoint.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "data.classes_per_batch=3"], "cannot be shared by 2 processes"),
        (["--set", "optimizer.freeze_batch_norm=false"], "batch norm would see parts of a batch"),
    ],
)
def test_a_mistake_is_told_once(options: list[str], message: str, birds: Path, tmp_path: Path) -> None:
    process = train(birds, tmp_path / "run", "--processes", "2", *options)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 2
    assert printed.count(message) == 1, printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_killed_launcher_takes_its_processes_with_it(birds: Path, tmp_path: Path) -> None:
    """And the folder is free soon: the run is resumed without doing anything about it."""
    folder = tmp_path / "run"
    process = train(birds, folder, "--processes", "2", "--set", "optimizer.epochs=1000")
    wait_for_an_epoch(process, folder)
    ranks = _children(process.pid)
    family = [*ranks, *(worker for rank in ranks for worker in _children(rank))]
    assert len(ranks) == 2
    process.kill()
    deadline = time.monotonic() + 3
    while any(map(_lives, family)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.stdout is not None
    process.stdout.close()
    process.wait()
    while not _is_free(folder):  # the last threads of a process may end after it
        assert time.monotonic() < deadline + 3
        time.sleep(0.05)
    assert (folder / "checkpoint.safetensors").exists()
    assert not list(folder.glob(".*.tmp"))


def _is_free(folder: Path) -> bool:
    try:
        with held(folder):
            return True
    except ConfigError:
        return False


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _lives(process: int) -> bool:
    """Not ended, and not merely waiting for somebody to note that it has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
