"""A disk that fills up in the middle of every command that writes: one message, and nothing that was there is lost.

From a chosen change of the disk on (see disk.c) nothing more can be written. Then the disk has space again, and the
same command ends as if nothing had happened.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import Made, ended_well
from faults.test_kills import contents, gone_on, result_of
from faults.warm import Warm, counting, failing

SLOW = pytest.mark.slow
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Job:
    """A command that writes below a folder."""

    words: Callable[[Made, Path], list[object]]
    """Made for the folder."""
    result: Callable[[Path], Any]
    """What it leaves there, without what may differ."""
    start: Callable[[Made, Path], object] = lambda made, folder: folder.mkdir()
    """What is there before it."""


def bytes_of(pattern: str) -> Callable[[Path], Any]:
    return lambda folder: {path.name: path.read_bytes() for path in folder.glob(pattern)}


def copy_of(name: str) -> Callable[[Made, Path], object]:
    return lambda made, folder: shutil.copytree(made.folder / name, folder)


def export(to: str, file: str) -> Callable[[Made, Path], list[object]]:
    return lambda made, folder: ["export", made.run, "--to", to, "--out", folder / file]


JOBS = {
    "evaluate": Job(lambda made, folder: ["evaluate", folder], lambda folder: result_of(folder), copy_of("run")),
    "prepared": Job(
        lambda made, folder: ["evaluate", folder, "--set", f"data.prepared={folder / 'copies'}"],
        bytes_of("copies/*/*/*"),
        copy_of("run"),
    ),
    "report": Job(lambda made, folder: ["report", folder], bytes_of("report.html"), copy_of("run")),
    "embed": Job(lambda made, folder: [*made.embed, "--out", folder], bytes_of("*.*")),
    "index-exact": Job(lambda made, folder: [*made.index("exact"), "--out", folder], contents),
    "index-lancedb": Job(lambda made, folder: [*made.index("lancedb"), "--out", folder], contents),
    "remove-exact": Job(lambda made, folder: ["index", "remove", folder, *some_ids(made)], contents, copy_of("exact")),
    "remove-lancedb": Job(
        lambda made, folder: ["index", "remove", folder, *some_ids(made)], contents, copy_of("lancedb")
    ),
    "search-page": Job(
        lambda made, folder: ["search", made.exact, made.picture, "--html", folder / "page.html"], bytes_of("*.html")
    ),
    "export-onnx": Job(export("onnx", "model.onnx"), bytes_of("*.onnx")),
    "export-torch": Job(export("torch", "model.pt2"), lambda folder: [path.name for path in folder.iterdir()]),
    "export-hub": Job(export("safetensors-hub", "hub"), bytes_of("hub/*.safetensors")),
}


def some_ids(made: Made) -> list[str]:
    pictures = sorted(made.photos.rglob("*.jpg"))[:5]
    return [picture.relative_to(made.photos).as_posix() for picture in pictures]


@pytest.mark.parametrize(
    ("name", "count"),
    [("index-exact", 1), *(pytest.param(name, 5, marks=SLOW) for name in JOBS)],
)
def test_a_full_disk_is_one_message_and_loses_nothing(
    warm: Warm,
    made: Made,
    tmp_path: Path,
    chance: random.Random,
    tried: Callable[[str], None],
    name: str,
    count: int,
) -> None:
    job, whole = JOBS[name], tmp_path / "whole"
    job.start(made, whole)
    steps = ended_well(warm.command(*job.words(made, whole), env=counting(whole))).steps
    expected, refused = job.result(whole), 0
    count = min(count, steps, 2 if "export" in name else count)
    for at in sorted(chance.sample(range(1, steps + 1), count)):
        folder = tmp_path / f"full-{at}"
        job.start(made, folder)
        ended = warm.command(*job.words(made, folder), env=failing(folder, at, "full"))
        assert ended.code == 0 or (ended.refused and "full" in ended.err), f"change {at} of {steps}: {ended}"
        refused += ended.refused
        again = warm.command(*job.words(made, folder))
        if again.refused and "new folder" in again.err:  # as before it was an index
            shutil.rmtree(folder)
            again = warm.command(*job.words(made, folder))
        assert (again.code, job.result(folder)) == (0, expected), f"change {at} of {steps}: {again}"
    tried(f"full disk, {name}: at {count} of {steps} changes, {refused} messages, all completed afterwards")


@pytest.mark.parametrize("count", [1, pytest.param(12, marks=SLOW)])
def test_a_full_disk_in_training_loses_no_checkpoint(
    warm: Warm, made: Made, tmp_path: Path, chance: random.Random, tried: Callable[[str], None], count: int
) -> None:
    expected, steps = result_of(made.run), made.steps["run"]
    for at in chance.sample(range(1, steps + 1), count):
        run = tmp_path / str(at)
        ended = warm.command(*made.train, "--out", run, env=failing(run, at, "full"))
        assert ended.refused and "full" in ended.err, f"change {at} of {steps}: {ended}"
        assert result_of(gone_on(warm, made, run)) == expected, f"change {at} of {steps}"
    tried(f"full disk, train: at {count} of {steps} changes, {count} messages, all runs equal bit for bit")
