"""The walk of docs/data-quality.md on photographs with planted faults: its commands run in order, and find them.

Servers start and are asked for their health; what people do on their pages is tested in tests/serve.
"""

from __future__ import annotations

import csv
import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from folders import some_birds
from test_docs_run import ROOT, WALKED, Reader, commands, reason

PAGE = ROOT / "docs" / WALKED
SMALL = (
    "image.size=96",
    "model.frozen=true",
    "model.start=random",  # whitening would learn the wrong labels of so few pictures by heart
    "model.refit=false",
    "data.views=2",
    "data.classes_per_batch=2",
    "optimizer.epochs=1",
)
CLASSES, EACH, NEW = 8, 10, 4
WRONG, COPIES = 4, ("cropped", "mirrored", "encoded again")


@dataclass(frozen=True)
class Planted:
    """A folder with faults, and what is true."""

    folder: Path
    wrong: set[str]
    """Pictures in the folder of another class, as the source names them."""
    copies: set[str]
    """Near-copies, the last one in a test class."""
    labels: dict[str, str]
    """Of new pictures, by their names."""


@pytest.fixture
def planted(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    monkeypatch.syspath_prepend(ROOT / "recipes")
    copy_of = import_module("copies").copy_of
    birds = some_birds(photographs, tmp_path / "photos", classes=CLASSES + 1, images=EACH + NEW)
    names = sorted(folder.name for folder in birds.iterdir())
    labels = {}
    (tmp_path / "new-photos").mkdir()
    for label in names:
        for picture in sorted((birds / label).iterdir())[EACH:]:
            labels[f"{label}-{picture.name}"] = label
            picture.rename(tmp_path / "new-photos" / f"{label}-{picture.name}")
    shutil.rmtree(birds / names.pop())  # a new class
    train, test = names[: CLASSES // 2], names[CLASSES // 2 :]
    wrong = set()
    for place, label in enumerate(train[:WRONG]):
        other = train[(place + 1) % len(train)]
        (birds / label / "0003.jpg").rename(birds / other / f"from-{place}.jpg")
        wrong.add(f"{other}/from-{place}.jpg")
    random, copies = np.random.default_rng(0), set()
    for kind, original, label in zip(COPIES, train, [train[0], train[1], test[0]], strict=False):
        copy = f"{label}/{kind}.jpg"
        copy_of(birds / original / "0000.jpg", kind, random, birds / copy)
        copies.add(copy)
    return Planted(tmp_path, wrong, copies, labels)


class Engineer(Reader):
    """Somebody who follows the page, and looks at what it finds."""

    def __init__(self, planted: Planted) -> None:
        super().__init__(planted.folder, PAGE)
        self.planted, self.folder = planted, planted.folder
        self.said: dict[str, str] = {}

    def small(self, words: list[str]) -> list[str]:
        return super().small([*words, *(part for setting in SMALL for part in ("--set", setting))])

    def follow(self, command: str) -> None:
        """Type a command, and do by hand what stands between it and the next."""
        for start, hand in HANDS.items():
            if command.startswith(start):
                hand(self)
        self.said[command] = self.type(command, faults=command.startswith("bier data check"))

    def label(self) -> None:
        """As on the page of proposals."""
        rows = [(image, self.planted.labels[Path(image).name]) for image in column(self.folder / "next.csv", "image")]
        write(self.folder / "labels.csv", ("image", "label"), rows)

    def mark(self) -> None:
        """As on the search page: a good pair of each class, and bad ones of two."""
        names = sorted(path.parent.name for path in self.folder.glob("photos/*/0000.jpg"))
        good = [(f"{name}/0000.jpg", f"{name}/0001.jpg", "good") for name in names]
        bad = [(f"{one}/0000.jpg", f"{other}/0002.jpg", "bad") for one, other in itertools.pairwise(names)]
        rows = [(query, "", "", result, verdict, "2026-01-01T00:00:00Z") for query, result, verdict in [*good, *bad]]
        write(self.folder / "marks.csv", ("query", "sha256", "box", "result", "verdict", "time"), rows)

    def select(self) -> None:
        """As with the lasso on the map."""
        names = sorted(path.parent.name for path in self.folder.glob("photos/*/0000.jpg"))
        (self.folder / "ids.txt").write_text("".join(f"{name}/0000.jpg\n" for name in names[:2]), encoding="utf-8")


HANDS: dict[str, Callable[[Engineer], None]] = {
    "bier data join": Engineer.label,
    "bier index remove shop-index --ids ids.txt": Engineer.select,
    "bier train photos/ --marks": Engineer.mark,
}


def write(file: Path, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with open(file, "w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([names, *rows])


def column(file: Path, name: str) -> list[str]:
    with open(file, newline="", encoding="utf-8") as table:
        return [row[name] for row in csv.DictReader(table)]


@pytest.fixture
def engineer(planted: Planted) -> Iterator[Engineer]:
    engineer = Engineer(planted)
    yield engineer
    engineer.stop()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_walk_finds_the_planted_faults(engineer: Engineer) -> None:
    planted, folder = engineer.planted, engineer.folder
    listed: dict[str, list[str]] = {}
    for command in commands(PAGE):
        if reason(command) is None:
            engineer.follow(command)
            if "--ids copies.txt" in command:
                listed[command] = (folder / "copies.txt").read_text(encoding="utf-8").splitlines()
    said = {
        start: next(text for command, text in engineer.said.items() if command.startswith(start)) for start in STEPS
    }

    first = column(folder / "suspects.csv", "image")[: WRONG + 2]
    assert len(planted.wrong & set(first)) >= WRONG - 1, first
    assert "near-copies across splits" in said["bier data check"]
    for command, copies in listed.items():
        assert set(copies) == planted.copies, command
    assert f"{len(COPIES)} removed" in said["bier index remove"]

    proposed = column(folder / "next.csv", "image")
    assert {Path(image).name for image in proposed} == set(planted.labels), "all, as there are fewer than 200"
    before, after = (set(column(folder / "all.csv", name)) for name in ("label", "image"))
    assert set(planted.labels.values()) <= before and set(proposed) <= after
    assert f"{len(planted.labels)} new pictures, 1 new class" in said["bier data join"]
    for page in ("suspects.html", "copies.html", "pairs.html", "next.html"):
        assert "data:image/jpeg" in (folder / page).read_text(encoding="utf-8"), page
    assert (folder / "runs/second/model.safetensors").is_file()


STEPS = ("bier data check", "bier index remove", "bier data join")
