"""A second command for one run, and signals at every stage: a word, an exit code, and something to go on with."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folders import some_birds

from bier.cli import main
from bier.records.lock import held
from bier.settings.reading import save
from bier.settings.schema import Config

CONFIG = Config().replace(
    loss__name="binomial_deviance",
    image__size=32,
    optimizer__epochs=1000,
    data__classes_per_batch=3,
    data__images_per_class=2,
    data__workers=1,
    data__validation_classes=0.4,
    model__backbone="test_resnet",
    model__weights="none",
    model__sizes=(8, 16),
    diversity__hidden=16,
    hardware__threads=1,
)


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bier.cli", *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_for_imports(process: subprocess.Popen[str]) -> None:
    """Until torch begins to load, which takes a second more on any machine."""
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.exists():  # not Linux
        time.sleep(1)
        return
    deadline = time.monotonic() + 100
    while "libtorch" not in maps.read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_one_command_at_a_time_from_the_first_moment_to_the_last(
    birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, settings = tmp_path / "my run", tmp_path / "settings.yaml"
    save(CONFIG, settings)
    train = ["train", str(birds), "--config", str(settings), "--out", str(folder)]
    first = start(*train)
    in_use = f"{folder}: is in use by process {first.pid} on {socket.gethostname()}\n"
    wait_for(folder / ".lock", first)
    for command in (train, [*train, "--try", "optimizer.epochs=1,2"], ["train", "--resume", str(folder)]):
        assert in_use in refused(command, capsys)
    assert not (folder / "provenance.json").exists(), "the head is still to be prepared"
    (folder / ".model.safetensors.0123456789abcdef.tmp").mkdir()  # as a killed one leaves it
    wait_for(folder / "history.jsonl", first)
    assert in_use in refused(["train", "--resume", str(folder)], capsys)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(folder), "--out", str(tmp_path / "metrics.json")])
    assert not stopped.value.code, "whoever writes nothing into it may look at it"
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=100)
    assert first.returncode == 130, said
    assert said.endswith(f"Go on with:\n  bier train --resume {shlex.quote(str(folder))}\n")
    assert not (folder / ".lock").exists()
    with held(folder):
        assert [path.name for path in folder.glob(".*")] == [".lock"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_packages_are_imported(number: signal.Signals, birds: Path, tmp_path: Path) -> None:
    process = start("train", birds, "--out", tmp_path / "my run")
    wait_for_imports(process)
    process.send_signal(number)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130, said
    command = shlex.join(["bier", "train", str(birds), "--out", str(tmp_path / "my run")])
    assert said == f"stopped; the same command goes on, or starts again:\n  {command}\n"
    assert not (tmp_path / "my run").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_exception_is_thrown_into_an_import(number: signal.Signals, tmp_path: Path) -> None:
    """It would go through C++, which aborts, or be caught there: here the package catches everything."""
    (tmp_path / "commands.py").write_text(
        "import os\n"
        "print('begun')\n"
        f"try: os.kill(os.getpid(), {int(number)})\n"
        "except BaseException as error: print('thrown', type(error))\n"
        "print('went on')\n"
    )
    program = (
        "import sys\n"
        "from bier.cli import entry\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import bier.cli\n"
        "bier.cli.__path__.insert(0, sys.path[0])\n"
        "entry.main(['train', 'my photos'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (130, "begun\n")
    assert done.stderr == "stopped; the same command goes on, or starts again:\n  bier train 'my photos'\n"
