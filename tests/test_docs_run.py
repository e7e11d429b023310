"""The commands of the documents are not only valid: they run, page by page, in a folder such as a reader has.

Trainings get settings that make them small, and servers a free port. What cannot run here is listed with its reason.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = ("image.size=32", "optimizer.epochs=1", "hardware.threads=1", "data.workers=0")
ELSEWHERE = {
    "pip ": "tests/test_docker.py installs",
    "git ": "the repository has no address yet",
    "docker ": "there is no Docker engine here",
    "make ": "this is `make test`",
    "python recipes": "takes hours; tests/test_recipes.py builds and trains every contender",
    "python benchmarks": "takes minutes to hours",
    "torchrun ": "several machines; tests/system/test_processes.py starts two groups",
}
PLACEHOLDERS = {
    "HOST": "a host's name",
    "http://127.0.0.1:19530": "a Milvus server; tests/search has one",
    "s3://": "a bucket; tests/data, tests/vectors and tests/search have one",
    "VehicleID_V1.0": "a benchmark that is not here",
    "CUB_200_2011": "a benchmark that is not here",
    "--host 0.0.0.0": "opens the machine to others",
    "hub:": "a model hub",
    "resnet50.safetensors": "weights of the reader's own; tests/network/test_weights.py has some",
    "/api/uploads": "a picture that a mark names; tests/serve/test_uploads.py marks one",
    "dinov2": "weights on a model hub; tests/runs/test_lora.py trains with random ones",
    "bier demo": "`make demo` runs it",
    "RUN TEST": "vectors for a benchmark, which takes minutes",
}


def commands(page: Path) -> list[str]:
    """Every command in order, lines that go on joined."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    lines = "".join(block for language, block in found if language in ("", "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(("bier ", "curl ", *ELSEWHERE))]


def reason(command: str) -> str | None:
    """Why a command does not run here."""
    starts = (why for start, why in ELSEWHERE.items() if command.startswith(start))
    holds = (why for part, why in PLACEHOLDERS.items() if part in command)
    return next(itertools.chain(starts, holds), None)


PRODUCTS = """image,price,sold,added,tags
boots/00001.jpg,19.9,no,2024-06-01,"[""new""]"
boots/00002.jpg,12,yes,2024-06-02,"[""sale""]"
"""
OBJECTS = """image,label,bbox
street/00001.jpg,car,10 20 40 30
street/00001.jpg,dog,0 0 20 16
street/00002.jpg,yard,
"""
MARKS = """query,sha256,result,verdict
001/00001.jpg,,001/00002.jpg,good
001/00001.jpg,,002/00002.jpg,bad
"""
WALKED = "data-quality.md"
"""Has planted faults to find: tests/test_data_quality.py."""
RUN = [page for page in PAGES if page.name != WALKED and any(reason(command) is None for command in commands(page))]


def draw(folder: Path, classes: list[str], each: int = 4) -> None:
    """Pictures that are alike within a class."""
    for label in classes:
        random = np.random.default_rng(list(label.encode()))
        (folder / label).mkdir(parents=True, exist_ok=True)
        colours = random.integers(0, 256, (4, 4, 3))
        for number in range(each):
            noisy = (colours + random.integers(-20, 20, colours.shape)).clip(0, 255).astype(np.uint8)
            picture = Image.fromarray(noisy).resize((40, 40), Image.Resampling.NEAREST)
            picture.save(folder / label / f"{number + 1:05}.jpg")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of: photographs, two runs, an index, a query."""
    world = tmp_path_factory.mktemp("world")
    draw(world / "photos", [f"{number:03}" for number in range(1, 61)] + ["boots", "shoes"])
    for old, new in (("boots/00003", "boots/0001"), ("boots/00004", "boots/17"), ("011/00003", "011/00206")):
        (world / f"photos/{old}.jpg").rename(world / f"photos/{new}.jpg")
    tagged = [f"photos/{n:03}/{k:05}.jpg,{n:03}|{'red' if n % 2 else 'blue'}" for n in range(1, 11) for k in (1, 2)]
    (world / "photos.csv").write_text("\n".join(["image,label", *tagged, ""]), encoding="utf-8")
    for name in ("query.jpg", "boot.jpg"):
        shutil.copy(world / "photos/boots/00001.jpg", world / name)
    draw(world / "catalogue", ["new", "old", *(f"{number:03}" for number in range(1, 21))])
    draw(world / "shop", ["boots"])
    (world / "shop/products.csv").write_text(PRODUCTS, encoding="utf-8")
    draw(world / "street", ["street"])
    (world / "street/objects.csv").write_text(OBJECTS, encoding="utf-8")
    draw(world / "new-photos", ["."], each=6)
    (world / "marks.csv").write_text(MARKS, encoding="utf-8")
    draw(world / "labelled", [f"{number:03}" for number in range(1, 61)])
    draw(world / "other-photos", [f"x{number}" for number in range(8)])
    (world / "shards").mkdir()
    for number in range(2):
        with tarfile.open(world / f"shards/part-{number}.tar", "w") as tar:
            for label in range(number + 1, 13, 2):
                tar.add(world / f"photos/{label:03}", arcname=f"{label:03}")
    (world / "mine.yaml").write_text("optimizer: {epochs: 1}\n", encoding="utf-8")
    options = [word for setting in SMALL for word in ("--set", setting)]
    os.environ["OMP_NUM_THREADS"] = "1"
    run = [sys.executable, "-m", "bier.cli"]
    subprocess.run([*run, "train", "photos/", "--out", "runs/photos", *options], cwd=world, check=True)
    other = [*options, "--set", "seed=1"]
    subprocess.run([*run, "train", "photos/", "--out", "runs/second", *other], cwd=world, check=True)
    for name in ("first", "A", "B", "photos-20261123-101500"):
        shutil.copytree(world / "runs/photos", world / f"runs/{name}")
    subprocess.run([*run, "index", "photos/", "-o", "shop-index", "--model", "runs/photos"], cwd=world, check=True)
    return world


class Reader:
    """Somebody who types what a page says."""

    def __init__(self, world: Path, page: Path) -> None:
        self.world, self.servers = world, list[subprocess.Popen[bytes]]()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if any("-o shop-index" in command and reason(command) is None for command in commands(page)):
            shutil.rmtree(world / "shop-index", ignore_errors=True)

    def type(self, command: str, faults: bool = False) -> str:
        """What is said on standard output; with ``faults`` the command may say that there are some."""
        words = shlex.split(command.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}"), comments=True)
        if words[:2] == ["bier", "serve"]:
            self.serve(words[1:])
            return ""
        if words[:2] == ["bier", "train"]:
            words = self.small(words)
        if "--push" in words:  # all but the upload
            place = words.index("--push")
            words = words[:place] + words[place + 2 :]
        if words[0] == "bier":
            words = [sys.executable, "-m", "bier.cli", *words[1:]]
        done = subprocess.run(words, cwd=self.world, capture_output=True, text=True, timeout=280)
        assert done.returncode in ((0, 2) if faults else (0,)), f"{command}\n{done.stdout}{done.stderr}"
        assert words[0] != "curl" or '"error"' not in done.stdout, f"{command}\n{done.stdout}"
        return done.stdout

    def small(self, words: list[str]) -> list[str]:
        """A training that takes seconds; one to go on with is interrupted first."""
        if "--resume" in words:
            self.interrupt(words[words.index("--resume") + 1])
            return words
        if "--out" in words:
            shutil.rmtree(self.world / words[words.index("--out") + 1], ignore_errors=True)
        given = {word.split("=")[0] for word in words if "=" in word}
        added = [part for setting in SMALL if setting.split("=")[0] not in given for part in ("--set", setting)]
        return [*words, *added, *(() if "optimizer.epochs" not in given else ("--set", "optimizer.epochs=1"))]

    def interrupt(self, run: str) -> None:
        """Leave the run as a kill does."""
        shutil.rmtree(self.world / run)
        program = (
            "import bier, os, sys\n"
            "class Kill(bier.Callback):\n"
            "    def on_step(self, run, step): os.kill(os.getpid(), 9)\n"
            "settings = dict(word.split('=') for word in sys.argv[2:])\n"
            "bier.train('photos', {k: int(v) for k, v in settings.items()}, sys.argv[1], [Kill()])\n"
        )
        done = subprocess.run([sys.executable, "-c", program, run, *SMALL], cwd=self.world, capture_output=True)
        assert done.returncode == -9, done.stderr

    def serve(self, words: list[str]) -> None:
        self.stop()
        command = [sys.executable, "-m", "bier.cli", *words, "--port", str(self.port)]
        self.servers.append(subprocess.Popen(command, cwd=self.world, stdout=subprocess.DEVNULL))
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return
            except OSError:
                assert self.servers[-1].poll() is None, words
                time.sleep(0.2)
        pytest.fail(f"{words} does not answer")

    def stop(self) -> None:
        for server in self.servers:
            server.terminate()
            server.wait(60)
        self.servers.clear()


@pytest.fixture
def world(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(prepared, tmp_path / "world")
    yield tmp_path / "world"
    shutil.rmtree(tmp_path / "world")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_commands_of_a_page_run(page: Path, world: Path) -> None:
    reader = Reader(world, page)
    try:
        for command in commands(page):
            if reason(command) is None:
                reader.type(command)
    finally:
        reader.stop()


def test_what_does_not_run_is_named() -> None:
    every = [command for page in PAGES for command in commands(page)]
    assert len([command for command in every if reason(command) is None]) > 40
    for text in (*ELSEWHERE, *PLACEHOLDERS):
        assert any(text in command for command in every), f"no command has {text!r}: take it off the list"
