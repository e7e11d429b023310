"""What the experiments share: a warm process, things made by real commands, chance with a seed, and notes."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from faults.warm import Ended, Warm, counting
from folders import some_birds
from tiny_runs import TINY

SEED = os.environ.get("BIER_FAULTS_SEED", "14")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Of its own for each test, so that one alone meets the same; BIER_FAULTS_SEED chooses another."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes what was tried; `tests/conftest.py` prints all of it in the end."""
    return lambda text: record_property("tried", f"{text} (seed {SEED})")


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of disk.c."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler here, for a disk that fills up")
    library = tmp_path_factory.mktemp("disk") / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture(scope="session")
def warm(disk: Path) -> Iterator[Warm]:
    with Warm(disk) as process:
        yield process


@dataclass(frozen=True)
class Made:
    """What nobody disturbed; experiments work on copies."""

    folder: Path
    """Holds all of it."""
    photos: Path
    """Forty photographs of ten classes of birds."""
    run: Path
    """Trained on them with ``settings``."""
    settings: Path
    """A YAML file: every step of the training writes a checkpoint."""
    vectors: Path
    """Of all photographs, in two parts."""
    exact: Path
    """An index of them."""
    lancedb: Path
    steps: dict[str, int]
    """Changes on the disk that each command made: train, embed, exact, lancedb."""
    seconds: dict[str, float]
    """And how long it took."""

    @property
    def train(self) -> list[object]:
        """The words of the command, but for ``--out``."""
        return ["train", self.photos, "--config", self.settings]

    @property
    def embed(self) -> list[object]:
        """One picture a batch makes two parts."""
        return ["embed", self.run, self.photos, "--batch-size", 1, "--workers", 0, "--device", "cpu"]

    def index(self, engine: str) -> list[object]:
        return ["index", self.vectors, "--model", self.run, "--engine", engine]

    @property
    def picture(self) -> Path:
        return min(self.photos.rglob("*.jpg"))


@pytest.fixture(scope="session")
def made(warm: Warm, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made").resolve()
    photos = some_birds(photographs, folder / "photos", classes=10, images=4)
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "checkpoint_seconds": 0}))
    places = {name: folder / name for name in ("run", "vectors", "exact", "lancedb")}
    made = Made(folder, photos, places["run"], folder / "tiny.yaml", *list(places.values())[1:], {}, {})
    commands = {"run": made.train, "vectors": made.embed, "exact": made.index("exact")}
    for name, words in (commands | {"lancedb": made.index("lancedb")}).items():
        ended = warm.command(*words, "--out", places[name], env=counting(places[name]))
        assert ended.code == 0, ended
        made.steps[name], made.seconds[name] = ended.steps, ended.seconds
    return made


def ended_well(ended: Ended) -> Ended:
    assert ended.code == 0, ended
    return ended
