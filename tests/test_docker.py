"""What the container files do, without a container: their files are there, their commands install a bier that works."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
FILES = ["Dockerfile", "Dockerfile.gpu"]
NOBODY = 65534
ELSEWHERE = "/usr/local/bin:/usr/bin:/bin"
"""Where a Python can be that a user without rights may run."""


def instructions(name: str) -> list[tuple[str, str]]:
    """Keyword and argument, continued lines joined."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], " ".join(line.split()[1:])) for line in lines]


def stages(name: str) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for keyword, argument in instructions(name):
        if keyword == "FROM":
            found.append([])
        found[-1].append((keyword, argument))
    return found


def of(stage: list[tuple[str, str]], wanted: str) -> list[str]:
    return [argument for keyword, argument in stage if keyword == wanted]


def copied(name: str) -> list[str]:
    """What the first stage takes from the repository."""
    arguments = [argument.split() for argument in of(stages(name)[0], "COPY")]
    return [word for words in arguments for word in words[:-1] if not word.startswith("--")]


def install_commands(name: str) -> str:
    """What the first stage runs as an ordinary user."""
    build = stages(name)[0]
    return " && ".join(of(build[build.index(("USER", "bier")) :], "RUN"))


def health_check() -> list[str]:
    [check] = of(stages("Dockerfile")[-1], "HEALTHCHECK")
    return json.loads(check[check.index("[") :])


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there_and_reaches_the_builder(name: str) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    admitted = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines, "everything is sent to the builder"
    assert copied(name)
    for path in copied(name):
        assert (ROOT / path).exists()
        assert any(fnmatch(path, pattern) for pattern in admitted), f"{path} is ignored"


@pytest.mark.parametrize("name", FILES)
def test_programs_run_as_a_user_without_rights(name: str) -> None:
    for stage in stages(name):
        [user] = of(stage, "USER")
        assert user not in ("root", "0")
    last = stages(name)[-1]
    assert ("ENTRYPOINT", '["bier"]') in last
    assert last.index(("USER", user)) < last.index(("ENTRYPOINT", '["bier"]'))


def test_both_files_install_the_same() -> None:
    assert install_commands("Dockerfile") == install_commands("Dockerfile.gpu")
    assert "-c constraints.txt" in install_commands("Dockerfile")


class Installation:
    """A folder in which a user without rights installs and runs bier."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "python").symlink_to(python)
        places = {"PATH": f"{folder}/opt/bin:{folder}/bin:{ELSEWHERE}", "HOME": str(folder), "TMPDIR": str(folder)}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("BIER_", "PYTHON", "VIRTUAL_ENV"))}
        self._options: dict[str, Any] = {"cwd": folder, "env": inherited | places}
        if os.geteuid() == 0:
            self._options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def give(self) -> None:
        """Let that user have all that lies in the folder."""
        if os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, **{**self._options, **options})

    def must(self, *command: str, **options: Any) -> str:
        done = self.run(*command, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, *command: str) -> Iterator[None]:
        """A program in the background, which must end well when it is told to."""
        with subprocess.Popen(command, **self._options) as program:
            try:
                yield
            finally:
                program.terminate()
        assert program.returncode == 0


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """The install commands have run, on the files of the last commit."""
    python = shutil.which("python3", path=ELSEWHERE)
    if python is None or subprocess.run([python, "-c", "import ensurepip, tomllib"], capture_output=True).returncode:
        pytest.skip(f"no Python 3.11 with venv in {ELSEWHERE}, which any user can run")
    with tempfile.TemporaryDirectory(prefix="bier-docker-") as name:
        made = Installation(Path(name), python)
        archive = ["git", "archive", "HEAD", "--", *copied("Dockerfile")]
        content = subprocess.run(archive, cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(made.folder / "source", filter="data")
        made.give()
        commands = install_commands("Dockerfile").replace("/opt/bier", f"{made.folder}/opt")
        made.must("sh", "-euc", commands, cwd=made.folder / "source")
        yield made


def some_colours(folder: Path) -> None:
    """Four classes of six pictures."""
    random = np.random.default_rng(0)
    for colour in range(4):
        (folder / f"colour-{colour}").mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 60, (80, 80, 3)) + 60 * colour
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"colour-{colour}" / f"{number}.png")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # five gigabytes are fetched
def test_the_commands_install_a_bier_that_starts(installation: Installation) -> None:
    assert "bier COMMAND" in installation.must("bier", "--help")
    found = installation.must("python", "-c", "import bier; print(bier.__file__, bier.EmbeddingEnsemble(8, (2, 2)))")
    assert found.startswith(f"{installation.folder}/opt/"), "another bier was imported"
    assert not (installation.folder / "opt/bin/uv").exists()
    assert not (installation.folder / ".cache/uv").exists(), "what was fetched is kept"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_that_bier_trains_and_serves_and_the_health_check_tells(installation: Installation) -> None:
    some_colours(installation.folder / "photos")
    short = ("optimizer.epochs=1", "data.classes_per_batch=2", "data.validation_classes=0", "image.size=64")
    settings = [word for setting in short for word in ("--set", setting)]
    installation.must("bier", "train", "photos", "--out", "run", *settings)
    installation.must("bier", "embed", "run", "photos", "-o", "vectors")
    installation.must("bier", "index", "vectors", "-o", "index", "--model", "run")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    check = [word.replace(":8000/", f":{port}/") for word in health_check()]
    assert installation.run(*check).returncode != 0, "healthy before there is a server"
    with installation.running("bier", "serve", "index", "--port", str(port)):
        deadline = time.monotonic() + 60
        while installation.run(*check).returncode != 0:
            assert time.monotonic() < deadline, "not healthy within a minute"
            time.sleep(0.5)
