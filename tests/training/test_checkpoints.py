"""A checkpoint that is damaged is noticed, and the one before it takes its place."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
from io import StringIO
from pathlib import Path

import pytest
import torch
from folders import some_birds
from rich.console import Console
from safetensors.torch import save_file

from bier import runs
from bier.errors import ModelError
from bier.records.folder import RunFolder
from bier.settings.schema import Config
from bier.system.json_values import anything
from bier.system.tensors import STATE_FORMAT, load_tensors, save_tensors
from bier.training.callbacks import Callback, Running, Step
from bier.training.optimizer_state import restore_optimizer
from bier.training.stopping import Interrupted

CONFIG = Config().replace(
    image__size=32,
    optimizer__epochs=2,
    optimizer__freeze=6,
    data__classes_per_batch=3,
    data__images_per_class=2,
    data__workers=0,
    model__sizes=(4, 8),
    diversity__hidden=8,
    hardware__threads=1,
    checkpoint_seconds=0.0,
)
FLIPS = 30


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=8, images=6)


@pytest.fixture(scope="module")
def straight(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model of a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "straight"
    runs.train(str(birds), CONFIG, folder, Console(quiet=True), evaluate_after=False)
    assert not RunFolder(folder).checkpoints, "they go when the run has ended"
    return RunFolder(folder).model.read_bytes()


@pytest.fixture(scope="module")
def _stopped(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after its third step."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"

    class Stop(Callback):
        def on_step(self, run: Running, step: Step) -> None:
            if step.number == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        runs.train(str(birds), CONFIG, folder, Console(quiet=True), callbacks=[Stop()], evaluate_after=False)
    return folder


@pytest.fixture
def stopped(_stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_stopped, tmp_path / "run"))


def flip(path: Path, chance: random.Random) -> None:
    place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
    with path.open("rb+") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def step_of(path: Path) -> int:
    return int(load_tensors(path, STATE_FORMAT, anything)[1]["step"])


def test_the_checkpoint_before_is_kept(stopped: Path) -> None:
    files = RunFolder(stopped)
    assert [step_of(path) for path in files.checkpoints] == [3, 2]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.checkpoints} == {
        stat.S_IMODE(files.config.stat().st_mode)
    }
    assert not list(stopped.glob(".*")), "nothing else is left"


def test_a_damaged_checkpoint_falls_back_to_the_one_before(stopped: Path, straight: bytes) -> None:
    files, printed = RunFolder(stopped), StringIO()
    flip(files.checkpoint, random.Random(0))
    runs.resume(stopped, Console(file=printed), evaluate_after=False)
    for told in (printed.getvalue(), files.log.read_text()):
        assert "WARNING" in told
        assert f"{files.checkpoint} is damaged: the tensor" in told
        assert "Going on from the one before: epoch 1, batch 3." in told
    assert files.model.read_bytes() == straight, "bit for bit"


@pytest.mark.parametrize(
    "damage", ["cut", *(pytest.param(other, marks=pytest.mark.slow) for other in ("emptied", "deleted"))]
)
@pytest.mark.slow
def test_a_checkpoint_that_is_half_there(damage: str, stopped: Path, straight: bytes, console: Console) -> None:
    files = RunFolder(stopped)
    content = files.checkpoint.read_bytes()
    if damage == "deleted":
        files.checkpoint.unlink()
    else:
        files.checkpoint.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    runs.resume(stopped, console, evaluate_after=False)
    assert files.model.read_bytes() == straight


def test_when_both_are_damaged_one_error_names_both(stopped: Path, console: Console) -> None:
    files, chance = RunFolder(stopped), random.Random(0)
    for path in files.checkpoints:
        flip(path, chance)
    with pytest.raises(
        ModelError, match=r"no checkpoint to go on from \(checkpoint\.safetensors: is damaged"
    ) as caught:
        runs.resume(stopped, console)
    assert "checkpoint-previous.safetensors: is damaged" in str(caught.value)
    for path in files.checkpoints:
        path.unlink()
    with pytest.raises(ModelError, match="no checkpoint to go on from"):
        runs.resume(stopped, console)


@pytest.mark.slow
def test_random_flips_are_noticed(stopped: Path) -> None:
    path = RunFolder(stopped).checkpoint
    noticed = 0
    for seed in range(FLIPS):
        flip(path, random.Random(seed))
        try:
            load_tensors(path, STATE_FORMAT, anything)
        except ModelError:
            noticed += 1
        flip(path, random.Random(seed))
    load_tensors(path, STATE_FORMAT, anything)
    assert noticed == FLIPS


@pytest.mark.slow
def test_a_new_run_keeps_nothing_of_one_that_was_thrown_away(stopped: Path, birds: Path, console: Console) -> None:
    files = RunFolder(stopped)
    files.provenance.unlink()

    class Stop(Callback):
        def on_start(self, run: Running) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(str(birds), CONFIG, stopped, console, callbacks=[Stop()])
    assert [step_of(path) for path in files.checkpoints] == [0]


@pytest.mark.slow
def test_a_disk_without_second_names(stopped: Path, monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    """As a stick for cameras has it."""

    def refuse(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    seen: list[list[int]] = []

    class Look(Callback):
        def on_step(self, run: Running, step: Step) -> None:
            seen.append([step_of(path) for path in RunFolder(run.folder).checkpoints])

    runs.resume(stopped, console, callbacks=[Look()], evaluate_after=False)
    assert seen[:2] == [[3, 3], [4, 3]], "an epoch has ended before the fourth step"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": -1}, "'epoch' does not fit"),
        ({"batch": 1e9}, "'batch' does not fit"),
        ({"history": {}}, "'history' does not fit"),
        ({"sums": None}, "'sums' does not fit"),
        ({"sums": {"hardest": {"positive": [[1.0, 2]]}}}, r"'sums\.hardest\.positive\[0\]' does not fit"),
        ({"best": {"epoch": "x"}}, r"'best\.epoch' does not fit"),
        ({"stopping": 1}, "'stopping' does not fit"),
        ({"other": 1}, "'other' is unknown here"),
    ],
)
def test_a_description_that_does_not_fit_is_named(
    change: dict[str, object], message: str, stopped: Path, console: Console
) -> None:
    """Of an older version, without checksums."""
    files = RunFolder(stopped)
    tensors, content = load_tensors(files.checkpoint, STATE_FORMAT, anything)
    text = json.dumps({"format": STATE_FORMAT, "content": {**content, **change}})
    save_file(tensors, files.checkpoint, metadata={"bier": text})
    files.previous_checkpoint.unlink()
    with pytest.raises(ModelError, match=message):
        runs.resume(stopped, console)


@pytest.mark.slow
def test_a_checkpoint_of_an_older_version_is_resumed(stopped: Path, straight: bytes, console: Console) -> None:
    """It has no checksums, and none before it."""
    files = RunFolder(stopped)
    tensors, content = load_tensors(files.checkpoint, STATE_FORMAT, anything)
    metadata = {"bier": json.dumps({"format": STATE_FORMAT, "content": content})}
    save_file(tensors, files.checkpoint, metadata=metadata)
    files.previous_checkpoint.unlink()
    runs.resume(stopped, console, evaluate_after=False)
    assert files.model.read_bytes() == straight


@pytest.mark.slow
def test_a_checkpoint_from_before_fused_steps_goes_on_without_them(stopped: Path, console: Console) -> None:
    files, seen = RunFolder(stopped), []
    tensors, content = load_tensors(files.checkpoint, STATE_FORMAT, anything)
    assert content.pop("fused")
    save_tensors(files.checkpoint, tensors, STATE_FORMAT, content)

    class Look(Callback):
        def on_step(self, run: Running, step: Step) -> None:
            seen.append(load_tensors(files.checkpoint, STATE_FORMAT, anything)[1].get("fused"))

    runs.resume(stopped, console, callbacks=[Look()], evaluate_after=False)
    assert seen[-1] is False


def test_optimizer_tensors_of_another_shape_are_refused() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))])
    with pytest.raises(ValueError, match=r"0\.exp_avg has the shape"):
        restore_optimizer(optimizer, {"0.exp_avg": torch.zeros(4)})
    with pytest.raises(ValueError, match="belongs to no parameter"):
        restore_optimizer(optimizer, {"1.exp_avg": torch.zeros(3)})
