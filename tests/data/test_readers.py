"""What every reader of sources must do. A new one needs a small source here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bier.data.datasets import FOLDER, READERS, kind_of
from bier.data.datasets.annotations import RowFaults
from bier.data.images import read_picture
from bier.errors import DataError
from bier.settings.schema import DataConfig

LOOSE = DataConfig(strict=False)  # a benchmark of two classes has not the published counts
CLASSES = ("001.boot", "002.shoe")


def pictures(folder: Path) -> list[tuple[str, str]]:
    """Three of each class, as (class folder, file)."""
    found = [(name, f"{name[:3]}_{number}.jpg") for name in CLASSES for number in range(3)]
    for name, file in found:
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name / file)
    return found


def folder(place: Path) -> Path:
    pictures(place)
    return place


def csv(place: Path) -> Path:
    rows = [f"{name}/{file},{name}" for name, file in pictures(place)]
    (place / "labels.csv").write_text("image,label\n" + "\n".join(rows) + "\n")
    return place / "labels.csv"


def parquet(place: Path) -> Path:
    import pyarrow as arrow
    from pyarrow import parquet as files

    rows = [{"image": f"{name}/{file}", "label": name} for name, file in pictures(place)]
    files.write_table(arrow.Table.from_pylist(rows), place / "labels.parquet")
    return place / "labels.parquet"


def shards(place: Path) -> Path:
    import tarfile

    rows = pictures(place.parent / "loose")
    place.mkdir()
    with tarfile.open(place / "0.tar", "w") as tar:
        for name, file in rows:
            tar.add(place.parent / "loose" / name / file, f"{name}/{file}")
    return place


def cub(place: Path) -> Path:
    rows = pictures(place / "images")
    (place / "images.txt").write_text("".join(f"{i} {name}/{file}\n" for i, (name, file) in enumerate(rows, 1)))
    (place / "image_class_labels.txt").write_text(
        "".join(f"{i} {1 if name == CLASSES[0] else 101}\n" for i, (name, _) in enumerate(rows, 1))
    )
    (place / "classes.txt").write_text("1 001.boot\n101 002.shoe\n")
    (place / "bounding_boxes.txt").write_text("".join(f"{i} 1 1 4 4\n" for i in range(1, len(rows) + 1)))
    return place


def sop(place: Path) -> Path:
    rows = pictures(place)
    head = "image_id class_id super_class_id path\n"
    for part, name in (("train", CLASSES[0]), ("test", CLASSES[1])):
        lines = [f"{i} {CLASSES.index(name) + 1} 1 {n}/{f}\n" for i, (n, f) in enumerate(rows, 1) if n == name]
        (place / f"Ebay_{part}.txt").write_text(head + "".join(lines))
    return place


def inshop(place: Path) -> Path:
    rows = pictures(place / "img")
    sides = ("train", "query", "gallery")
    lines = [f"img/{name}/{file} id_{name[:3]} {sides[i % 3]}\n" for i, (name, file) in enumerate(rows)]
    (place / "list_eval_partition.txt").write_text(
        f"{len(rows)}\nimage_name item_id evaluation_status\n" + "".join(lines)
    )
    return place


SOURCES: dict[str, Callable[[Path], Path]] = {
    "folder": folder,
    "csv": csv,
    "parquet": parquet,
    "shards": shards,
    "cub": cub,
    "sop": sop,
    "inshop": inshop,
}
ELSEWHERE = {"cars196", "datasets", "vehicleid"}
"""Their binary and long formats are made in test_datasets.py and test_saved_dataset.py, which test the same things."""


def test_every_reader_has_a_source_to_be_tested_with() -> None:
    assert {*SOURCES, *ELSEWHERE} == set(READERS)


@pytest.mark.parametrize("name", list(SOURCES))
def test_a_source_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    source = SOURCES[name](tmp_path / "source")
    assert kind_of(source) == name
    manifest = READERS[name].read(source, LOOSE, RowFaults(source))
    assert len(manifest) == 6
    assert len(manifest.classes()) == 2
    assert all(read_picture(manifest.reference(row)).shape == (3, 8, 8) for row in range(6))


@pytest.mark.parametrize("name", list(READERS))
def test_what_is_not_there_is_an_error_with_its_place(name: str, tmp_path: Path) -> None:
    assert not READERS[name].recognises(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert not READERS[name].recognises(empty)
    with pytest.raises((DataError, OSError)):
        READERS[name].read(empty, LOOSE, None)


def test_any_other_folder_is_one_of_class_folders(tmp_path: Path) -> None:
    assert kind_of(tmp_path) == FOLDER
    (tmp_path / "labels.doc").touch()
    with pytest.raises(DataError, match=r"\.doc"):
        kind_of(tmp_path / "labels.doc")
