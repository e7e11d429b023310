"""The paper's recipe on generated directories of the five published layouts, with real pictures, start to table."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

RECIPE = Path(__file__).parents[1] / "recipes" / "paper.py"
CLASSES, IMAGES = 4, 4
"""For training, and as many for testing."""
SMALL = (
    "data.strict=false",
    "data.classes_per_batch=4",
    "data.images_per_class=2",
    "data.workers=0",
    "image.size=64",
    "model.weights=none",
    "optimizer.epochs=2",
    "hardware.threads=1",
    "diversity.hidden=16",
)


class Pictures:
    """Photographs of birds, each put where a benchmark wants one."""

    def __init__(self, photographs: Path) -> None:
        self.classes = [
            sorted(folder.iterdir())[:IMAGES] for folder in sorted((photographs / "cub100/images").iterdir())
        ]

    def put(self, place: Callable[[int, int], Path]) -> Iterator[tuple[int, int, Path]]:
        """Number from 1, class from 0 and path of each; the first CLASSES classes are for training."""
        number = 0
        for label, pictures in enumerate(self.classes[: 2 * CLASSES]):
            for picture in pictures:
                number += 1
                path = place(number, label)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(picture, path)
                yield number, label, path


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def published(label: int, first_test: int) -> int:
    """A class of a benchmark whose test classes begin there."""
    return label + 1 if label < CLASSES else first_test + label - CLASSES


def make_cub(root: Path, pictures: Pictures) -> None:
    folder = root / "CUB_200_2011"

    def place(number: int, label: int) -> Path:
        return folder / "images" / f"{published(label, 101):03}.Bird" / f"Bird_{number:04}.jpg"

    rows = list(pictures.put(place))
    write(folder / "images.txt", *(f"{n} {path.relative_to(folder / 'images')}" for n, _, path in rows))
    write(folder / "image_class_labels.txt", *(f"{n} {published(label, 101)}" for n, label, _ in rows))
    write(folder / "bounding_boxes.txt", *(f"{n} 1.0 1.0 30.0 30.0" for n, _, _ in rows))


def make_cars(root: Path, pictures: Pictures) -> None:
    from scipy.io import savemat

    folder = root / "cars196"
    rows = list(pictures.put(lambda number, label: folder / "car_ims" / f"{number:06}.jpg"))
    names = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "relative_im_path")
    records = np.empty(len(rows), dtype=[(name, object) for name in names])
    for record, (_, label, path) in zip(records, rows, strict=True):
        values = (1, 1, 30, 30, published(label, 99), f"car_ims/{path.name}")
        for name, value in zip(names, values, strict=True):
            record[name] = value
    savemat(folder / "cars_annos.mat", {"annotations": records})


def make_sop(root: Path, pictures: Pictures) -> None:
    folder = root / "Stanford_Online_Products"
    rows = list(pictures.put(lambda number, label: folder / "bicycle_final" / f"{label}_{number}.JPG"))
    for name, wanted in (("train", True), ("test", False)):
        lines = [f"{n} {c + 1} 1 bicycle_final/{path.name}" for n, c, path in rows if (c < CLASSES) is wanted]
        write(folder / f"Ebay_{name}.txt", "image_id class_id super_class_id path", *lines)


def make_inshop(root: Path, pictures: Pictures) -> None:
    folder = root / "In-shop"

    def place(number: int, label: int) -> Path:
        return folder / "Img" / "img" / "WOMEN" / "Dresses" / f"id_{label:08}" / f"{number}.jpg"

    rows = list(pictures.put(place))
    lines = [
        f"{path.relative_to(folder / 'Img')} id_{label:08} "
        f"{'train' if label < CLASSES else ('query', 'gallery')[number % 2]}"
        for number, label, path in rows
    ]
    write(folder / "Eval" / "list_eval_partition.txt", str(len(rows)), "image_name item_id evaluation_status", *lines)


def make_vehicleid(root: Path, pictures: Pictures) -> None:
    folder = root / "VehicleID_V1.0"
    rows = list(pictures.put(lambda number, label: folder / "image" / f"{number:07}.jpg"))
    for name in ("train_list", "test_list_800", "test_list_1600", "test_list_2400"):
        wanted = name == "train_list"
        lines = [f"{path.stem} {label}" for _, label, path in rows if (label < CLASSES) is wanted]
        write(folder / "train_test_split" / f"{name}.txt", *lines)


MAKERS = {"cub": make_cub, "cars": make_cars, "sop": make_sop, "inshop": make_inshop, "vehicleid": make_vehicleid}


def recipe(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, RECIPE, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_from_a_published_layout_to_a_table(name: str, photographs: Path, tmp_path: Path) -> None:
    MAKERS[name](tmp_path, Pictures(photographs))
    out = tmp_path / "out"
    done = recipe("--data", tmp_path, "--set", name, "--out", out, "--with", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    ours = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows if "| here |" in line]
    assert [row[0] for row in ours] == [
        "one embedding",
        "boosting alone",
        "BIER: activation loss",
        "A-BIER: adversarial loss",
    ]
    # Random weights make nearly the same vector of every picture, and a tie counts as a miss: 0 is possible.
    assert all(0 <= float(cell) <= 100 for row in ours for cell in row[2:-1])
    assert any("| published |" in line for line in rows)
    again = recipe("--data", tmp_path, "--set", name, "--out", out, "--with", *SMALL)
    assert again.stdout.splitlines()[-len(rows) :] == done.stdout.splitlines()[-len(rows) :]
    assert "epoch 1" not in again.stdout, "trained twice"
    assert recipe("--set", name, "--out", out, "--table").stdout.splitlines()[-len(rows) :] == rows


@pytest.mark.slow
def test_a_benchmark_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = recipe("--data", tmp_path, "--set", "sop", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "no folder 'Stanford_Online_Products'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
