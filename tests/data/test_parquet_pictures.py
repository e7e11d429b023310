"""Parquet tables that hold the pictures themselves, as Hugging Face writes them: read by every way in."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from bier.data import TestTransform, cells, image_loader, open_source
from bier.data.check import check_source, describe_faults
from bier.data.datasets import open_table
from bier.data.images import read_image, read_picture
from bier.data.references import absolute, parquet_uri, picture_bytes, short_name, tar_uri
from bier.data.thumbnails import Thumbnails
from bier.errors import DataError, ImageError
from bier.settings.schema import DataConfig
from bier.vectors.sources import open_catalogue

COUNT = 12
STRUCT = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    picture = Image.new("RGB", (16, 16), (number * 20, 99, 9))
    picture.paste((number * 20, 9, 99), (0, 0, 16, 8))
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


BYTES = [jpeg(number) for number in range(COUNT)]
LABELS = [number // 3 for number in range(COUNT)]
KINDS: dict[str, Any] = {
    "struct": pyarrow.array([{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(BYTES)], STRUCT),
    "struct without names": pyarrow.array([{"bytes": data, "path": None} for data in BYTES], STRUCT),
    "struct of bytes alone": pyarrow.array([{"bytes": data} for data in BYTES]),
    "binary": pyarrow.array(BYTES, pyarrow.binary()),
    "large binary": pyarrow.array(BYTES, pyarrow.large_binary()),
}


def written(folder: Path, image: Any, name: str = "train.parquet", **columns: Any) -> Path:
    table = pyarrow.table({"id": range(COUNT), "image": image, "label": LABELS, **columns})
    parquet.write_table(table, folder / name, row_group_size=5)
    return folder / name


def shade(tensor: Any) -> int:
    return round(float(tensor[0].float().mean()) / 20)


@pytest.mark.parametrize("image", KINDS.values(), ids=KINDS)
def test_pictures_in_a_table_are_read_everywhere(tmp_path: Path, image: Any) -> None:
    source = written(tmp_path, image)
    manifest, faults = check_source(source)
    assert not faults
    assert manifest.label.tolist() == [str(label) for label in LABELS]
    for workers in (0, 2):
        batches = list(image_loader(manifest, TestTransform(8), 4, workers))
        assert [shade(picture) for batch in batches for picture in batch.images] == list(range(COUNT))
    for row in (11, 0, 5):
        assert picture_bytes(manifest.reference(row)) == BYTES[row]
        assert shade(read_image(manifest.path(row))) == row
    pictures = list(open_catalogue(source).pictures((0, 0)))
    assert [picture.id.startswith(f"train.parquet:{n + 1}") for n, picture in enumerate(pictures)] == [True] * COUNT
    assert [shade(read_picture(picture.image)) for picture in pictures] == list(range(COUNT))
    assert Thumbnails(8)(manifest.picture(3)["image"])


def test_the_manifest_names_the_table_as_it_lies(tmp_path: Path) -> None:
    source = written(tmp_path, KINDS["struct"])
    manifest = open_source(source)
    moved = tmp_path / "moved"
    moved.mkdir()
    again = open_source(source.rename(moved / source.name))
    assert again.fingerprint() == manifest.fingerprint()
    assert short_name(again.reference(0)) == "train.parquet:1:0.jpg"
    again.save(tmp_path / "saved.parquet")
    assert picture_bytes(open_source(tmp_path / "saved.parquet").reference(7)) == BYTES[7]
    with pytest.raises(ImageError, match="No such file"):
        picture_bytes(manifest.reference(0))


def test_rows_that_hold_a_path_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.jpg").write_bytes(BYTES[1])
    values = [{"bytes": data, "path": None} for data in BYTES]
    values[1] = {"bytes": None, "path": "own.jpg"}
    source = written(tmp_path, pyarrow.array(values, STRUCT))
    assert shade(read_picture(open_source(source).reference(1))) == 1
    values[7] = {"bytes": None, "path": None}
    source = written(tmp_path, pyarrow.array(values, STRUCT))
    with pytest.raises(DataError, match="row 8: the image is missing"):
        open_source(source)


def test_classes_have_the_names_that_hugging_face_gives(tmp_path: Path) -> None:
    names = ["boot", "shoe", "sock", "hat"]
    table = pyarrow.table({"image": KINDS["struct"], "label": LABELS})
    about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    source = tmp_path / "train.parquet"
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), source)
    manifest = open_source(source)
    assert manifest.label.tolist() == [str(label) for label in LABELS]
    assert [manifest.title(row) for row in (0, 3, 6, 9)] == names
    assert [picture.label for picture in open_catalogue(source).pictures((0, 0))][::3] == names
    unlabelled = table.set_column(1, "label", pyarrow.array([-1, *LABELS[1:]]))
    parquet.write_table(unlabelled.replace_schema_metadata({"huggingface": json.dumps(about)}), source)
    with pytest.raises(DataError, match="row 1: the label -1 is none of the 4 classes"):
        open_source(source)


def test_text_that_was_written_as_bytes_is_text(tmp_path: Path) -> None:
    paths = pyarrow.array([f"{n}.jpg".encode() for n in range(COUNT)])
    labels = pyarrow.array([str(label).encode() for label in LABELS])
    manifest = open_source(written(tmp_path, paths, label=labels))
    assert manifest.image[3] == "3.jpg"
    assert manifest.label[3] == "1"


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("image", [[1, 2]] * COUNT, r"'image' holds values of type list<"),
        ("image", [{"url": "x"}] * COUNT, r"'image' holds values of type struct<url: string>"),
        ("image", [1] * COUNT, r"'image' holds values of type int64"),
        ("label", [{"id": 1}] * COUNT, r"'label' holds values of type struct<id: int64>"),
        ("label", [{f"field{n}": 1 for n in range(99)}] * COUNT, r"'label' holds values of type struct<field0"),
        ("bbox", [{"x": 1}] * COUNT, r"'bbox' holds values of type struct<x: int64>"),
    ],
)
def test_other_columns_are_named_once_with_their_type(tmp_path: Path, column: str, values: Any, message: str) -> None:
    columns = {"image": [f"{n}.jpg" for n in range(COUNT)], column: values}
    source = written(tmp_path, **columns)
    with pytest.raises(DataError, match=message) as caught:
        open_source(source)
    assert len(str(caught.value)) < 500
    with pytest.raises(DataError, match=message):
        check_source(source)


def test_a_table_in_memory_with_pictures_is_refused_with_the_way_out() -> None:
    import pandas

    for source in (
        pyarrow.table({"image": KINDS["struct"], "label": LABELS}),
        pandas.DataFrame({"image": BYTES, "label": LABELS}),
        pandas.DataFrame({"image": [Image.new("RGB", (2, 2))] * COUNT, "label": LABELS}),
    ):
        with pytest.raises(DataError, match="'image' holds") as caught:
            open_table(source)
        assert len(str(caught.value)) < 500
        assert caught.value.remedy


def test_a_broken_picture_in_a_table_is_one_line(tmp_path: Path) -> None:
    values = [{"bytes": data, "path": None} for data in BYTES]
    values[4]["bytes"] = BYTES[4][:80]
    _, faults = check_source(written(tmp_path, pyarrow.array(values, STRUCT)))
    [line] = [line for line in describe_faults(faults) if line.startswith("  row 5")]
    assert line.startswith("  row 5: train.parquet:5: damaged picture")
    assert len(line) < 300


def test_row_groups_are_kept_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, KINDS["binary"])
    read: list[Any] = []
    own = cells._read
    monkeypatch.setattr(cells, "_read", lambda key: (read.append(key), own(key))[1])
    cells._kept.clear()
    for row in range(COUNT):
        assert cells.cell(str(source), "image", row) == BYTES[row]
    assert len(read) == 3, "each row group was read once"
    monkeypatch.setattr(cells, "KEPT_BYTES", 1)
    cells._kept.clear()
    for row in (0, 11, 0):
        assert cells.cell(str(source), "image", row) == BYTES[row]
        assert len(cells._kept) == 1


def test_a_large_row_group_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_source(written(tmp_path, KINDS["binary"])).remarks() == []
    monkeypatch.setattr("bier.data.datasets.parquet_pictures.LARGE", 100)
    [line] = open_source(written(tmp_path, KINDS["binary"])).remarks()
    assert "row groups" in line


def test_references_say_where_a_picture_is(tmp_path: Path) -> None:
    file = tmp_path / "a b#1?.tar"
    file.write_bytes(b"....picture....")
    assert picture_bytes(tar_uri(file, "x#y.jpg", 4, 7)) == b"picture"
    assert picture_bytes(absolute(tar_uri(file.name, "x", 4, 7), tmp_path)) == b"picture"
    assert short_name(tar_uri(file, "x#y.jpg", 4, 7)) == "a b#1?.tar:x#y.jpg"
    for bad in (f"tar://{file}", f"tar://{file}?offset=x&size=1#", f"parquet://{file}?column=a&row=1#"):
        with pytest.raises(ImageError):
            picture_bytes(bad)
    source = written(tmp_path, KINDS["binary"])
    for column, row in (("image", 0), ("image", COUNT + 1), ("picture", 1)):
        with pytest.raises(ImageError, match="cannot be read"):
            picture_bytes(parquet_uri(source, column, row))


def test_a_tar_reference_of_any_size_reads_no_more_than_there_is(tmp_path: Path) -> None:
    file = tmp_path / "small.tar"
    file.write_bytes(b"x" * 100)
    with pytest.raises(ImageError, match="ends within it"):
        picture_bytes(tar_uri(file, "x", 0, 10**15))


def test_boxes_in_pictures_of_a_table(tmp_path: Path) -> None:
    boxes = [[0, 0, 4, 4]] * COUNT
    manifest = open_source(written(tmp_path, KINDS["struct"], bbox=boxes), DataConfig(crop_to_bbox=True))
    assert manifest.bbox is not None
    assert read_picture(manifest.reference(2), np.asarray(manifest.bbox[2])).shape == (3, 4, 4)
