"""One row for each object of a picture: what is in its box, and no more."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import numpy as np
import pandas
import pytest
from colours import Colours
from objects import BOXES, HEADER, IDS, ROWS, listed, street

from bier.data.datasets.table import Wanted, read_csv
from bier.errors import DataError
from bier.vectors import catalogue
from bier.vectors.catalogue import embed_catalogue
from bier.vectors.parts import VectorBatch, read_info, read_vectors
from bier.vectors.sources import open_catalogue

ENCODER = Colours(1)


def rows_of(folder: Path) -> VectorBatch:
    [batch] = read_vectors(folder)
    return batch


def entries(source: Path) -> list[tuple[str, object, object]]:
    found = open_catalogue(source, objects=True).pictures((0, 0))
    return [(entry.id, entry.box, entry.fields["bbox"]) for entry in found]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_vectors_are_those_of_the_boxes_bit_for_bit(tmp_path: Path, workers: int) -> None:
    source = street(tmp_path)
    info = embed_catalogue(ENCODER, source, tmp_path / "out", objects=True, workers=workers)
    assert (info.count, info.failed) == (4, 0)
    assert dict(info.fields) == {"price": "whole", "bbox": "box"}
    rows = rows_of(tmp_path / "out")
    assert rows.ids == IDS
    pictures = [tmp_path / name.partition("#")[0] for name in IDS]
    prepared = [ENCODER.prepare(picture, box=box) for picture, box in zip(pictures, BOXES, strict=True)]
    np.testing.assert_array_equal(rows.vectors, ENCODER.encode(prepared).numpy())
    assert len({vector.tobytes() for vector in rows.vectors}) == 4
    assert [row["image"] for row in rows.metadata] == list(map(str, pictures))
    assert [row["bbox"] for row in rows.metadata] == ["0,0,20,16", "20,0,20,16", None, "5.5,15,20.25,30"]


def test_without_the_option_boxes_are_a_field_and_pictures_are_whole(tmp_path: Path) -> None:
    embed_catalogue(ENCODER, street(tmp_path, ROWS[1:3]), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert rows.ids == ["street.png", "yard/yard.png"]
    assert [row["bbox"] for row in rows.metadata] == ["20 0 20 16", None]


def test_every_way_to_write_boxes_gives_the_same_ids(tmp_path: Path) -> None:
    source = street(tmp_path)
    expected = list(zip(IDS, BOXES, ["0,0,20,16", "20,0,20,16", None, "5.5,15,20.25,30"], strict=True))
    assert entries(source) == expected
    read_csv(source, wanted=Wanted(needed=["image"])).save(tmp_path / "saved.parquet")
    lists = [None if box is None else list(box) for box in BOXES]
    images = [name.partition("#")[0] for name in IDS]
    pandas.DataFrame({"image": images, "label": "a", "bbox": lists}).to_parquet(tmp_path / "lists.parquet")
    for file in ("saved.parquet", "lists.parquet"):
        assert entries(tmp_path / file) == expected
    assert open_catalogue(tmp_path / "lists.parquet", objects=True).remarks() == []
    assert entries(listed(tmp_path, ROWS[::-1])) == expected[::-1]
    sides = [f"street.png,{x},{y},{w},{h}" for x, y, w, h in filter(None, BOXES)]
    assert entries(listed(tmp_path, sides, "image,x,y,width,height")) == [row for row in expected if row[1]]


def test_a_box_outside_its_picture_is_left_out_with_a_reason(tmp_path: Path) -> None:
    rows = [*ROWS, "street.png,ghost,900 0 20 16,1", "gone.png,ghost,0 0 9 9,1", "street.png,ghost,0 0 1e12 9,1"]
    info = embed_catalogue(ENCODER, street(tmp_path, rows), tmp_path / "out", objects=True)
    assert (info.count, info.failed) == (4, 3)
    with (tmp_path / "out" / "failed.csv").open(newline="", encoding="utf-8") as file:
        failed = [(row["image"].removeprefix(f"{tmp_path}/"), row["what"]) for row in csv.DictReader(file)]
    assert failed == [
        ("street.png#900,0,20,16", "box (x 900, y 0, width 20, height 16) outside the picture of 40 x 32"),
        ("gone.png#0,0,9,9", "no such file"),
        ("street.png#0,0,1000000000000,9", "0,0,1000000000000,9 is no box in pixels"),
    ]


def test_a_stopped_command_goes_on_and_another_option_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = street(tmp_path, [*ROWS[:2], ROWS[3]]), tmp_path / "out"
    monkeypatch.setattr(catalogue, "BATCHES_IN_A_PART", 1)

    def stop(info: object, total: int | None, new: int) -> None:
        if (out / "part-00000.parquet").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_catalogue(ENCODER, source, out, objects=True, batch_size=1, progress=stop)
    embed_catalogue(ENCODER, source, out, objects=True, batch_size=1)
    embed_catalogue(ENCODER, source, tmp_path / "at once", objects=True, batch_size=1)
    assert read_info(out) == read_info(tmp_path / "at once")
    for one, other in zip(read_vectors(out), read_vectors(tmp_path / "at once"), strict=True):
        assert one.ids == other.ids and one.vectors.tobytes() == other.vectors.tobytes()
    listed(tmp_path, ROWS[1:3])
    embed_catalogue(ENCODER, source, tmp_path / "whole")
    with pytest.raises(DataError, match="holds vectors of another source"):
        embed_catalogue(ENCODER, source, tmp_path / "whole", objects=True)


def test_mistakes_are_one_message_each(tmp_path: Path) -> None:
    source = street(tmp_path / "photos")
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "photos" / "street.png", "street.png")
    for without in (tmp_path / "photos" / "yard", tmp_path / "photos.tar"):
        with pytest.raises(
            DataError, match=rf"--objects: {without.name} has no boxes\n.*leave it out, or give a table"
        ):
            open_catalogue(without, objects=True)
    for rows, header in ((["street.png,a"], "image,label"), (["street.png,"], "image,bbox")):
        with pytest.raises(DataError, match=r"photos/objects.csv has no boxes"):
            open_catalogue(listed(tmp_path / "photos", rows, header), objects=True)
    with pytest.raises(DataError, match=r"the id 'street.png#0,0,20,16' occurs twice, in rows 2 and 4"):
        open_catalogue(listed(tmp_path / "photos", [*ROWS[:2], "street.png,car,0 0 20.0 16,9"]), objects=True)
    with pytest.raises(DataError, match=r"'street.png' occurs twice, in rows 2 and 3\n.*or give --objects"):
        open_catalogue(listed(tmp_path / "photos", ROWS))
    with pytest.raises(DataError, match="another column would be the field 'bbox', too"):
        open_catalogue(listed(tmp_path / "photos", [f"{ROWS[0]},1"], f"{HEADER},bbox?"), objects=True)
    assert source.exists()
