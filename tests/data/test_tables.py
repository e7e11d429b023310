"""Tables as other programs write them: dialects, columns that decide what is trained on, labels, spellings of paths."""

from __future__ import annotations

import codecs
import csv
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from bier.data import Manifest, open_source
from bier.data.check import check_source
from bier.data.datasets import open_table
from bier.data.images import read_picture
from bier.errors import DataError
from bier.settings.schema import DataConfig
from bier.vectors.sources import open_catalogue

ROWS = range(8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pictures, no two alike."""
    (tmp_path / "img").mkdir()
    for number in ROWS:
        picture(number).save(tmp_path / "img" / f"{number}.png")
    return tmp_path


def picture(number: int) -> Image.Image:
    """Eight stripes of a colour of its own."""
    return Image.frombytes(
        "RGB", (8, 8), bytes((number * 30, 9, 31 * row)[k] for row in range(8) for _ in range(8) for k in range(3))
    )


def written(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def table(separator: str = ",", end: str = "\n", more: str = "", cell: str = "") -> str:
    lines = [f"image{separator}label{separator * bool(more)}{more}"]
    lines += [f"img/{number}.png{separator}{number // 2}{separator * bool(more)}{cell}" for number in ROWS]
    return end.join([*lines, ""])


DIALECTS = {
    "Excel's own line": "sep=;\r\n" + table(";", "\r\n"),
    "Excel's own line in quotes": '"sep=;"\r\n' + table(";", "\r\n"),
    "the wrong one in that line": "sep=;\n" + table(","),
    "pipes": table("|"),
    "tabs": table("\t"),
    "a tab in the name of a column": table(",", more='"a\tb\tc\td"', cell="x"),
    "the other delimiter in a quoted header": table(";", more='"width, height, depth, colour"', cell="x"),
    "it comes first": "\n".join(
        ['"note, in words, of some length";image;label', *(f"x;img/{n}.png;{n // 2}" for n in ROWS)]
    ),
    "ends of lines of old Macs": table(end="\r"),
    "a byte order mark": codecs.BOM_UTF8 + table().encode(),
    "Excel's Unicode text": table("\t", "\r\n").encode("utf-16"),
    "UTF-16, the other way round": codecs.BOM_UTF16_BE + table().encode("utf-16-be"),
    "a cell of 200,000 characters": table(more="note", cell=f'"{"y" * 200_000}"'),
    "quotes within text": table(more="note", cell='5" and "more"'),
    "an empty line before it": "\n" + table(),
}


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_gives_the_same_pictures(folder: Path, text: str | bytes) -> None:
    manifest, faults = check_source(written(folder, text))
    assert manifest.image.tolist() == [f"img/{number}.png" for number in ROWS]
    assert manifest.label.tolist() == [str(number // 2) for number in ROWS]
    assert not faults
    assert csv.field_size_limit() == 131_072, "a limit of the whole process was left changed"


def test_rows_are_numbered_as_in_the_file(folder: Path) -> None:
    text = 'sep=;\nimage;label;note\nimg/0.png;a;"two\nlines"\nimg/1.png;a;x\nimg/2.png;;x\n'
    with pytest.raises(DataError, match="row 6: the label is missing"):
        open_source(written(folder, text))


def test_no_column_is_renamed_on_a_guess(folder: Path) -> None:
    with pytest.raises(DataError, match="no column 'image'; the columns are 'image:label'") as caught:
        open_source(written(folder, table(":")))
    assert "rename" not in str(caught.value.remedy)
    with pytest.raises(DataError) as caught:
        open_source(written(folder, "x" * 200_000 + "\n1\n"))
    assert len(str(caught.value)) < 500


def flagged(folder: Path, columns: str, *cells: str) -> Manifest:
    """A table of four classes, two pictures each, with these cells for the classes."""
    lines = [f"image,label,{columns}", *(f"img/{n}.png,{n // 2},{cells[n // 2]}" for n in ROWS)]
    return open_source(written(folder, "\n".join(lines)))


@pytest.mark.parametrize(
    ("columns", "cells", "splits"),
    [
        ("is_test", ("0", "0", "1", "1"), ["train", "train", "test", "test"]),
        ("IS_TEST", ("False", "no", "True", "yes"), ["train", "train", "test", "test"]),
        ("is_train", ("1.0", "1.0", "0.0", "0.0"), ["train", "train", "test", "test"]),
        ("is_valid", ("f", "f", "t", "t"), ["train", "train", "val", "val"]),
        ("is_test,is_val", ("0,0", "0,0", "0,1", "1,0"), ["train", "train", "val", "test"]),
        ("is_train,is_test,is_valid", ("1,0,0", "1,0,0", "0,0,1", "0,1,0"), ["train", "train", "val", "test"]),
        ("set", ("train", "training", "test", "testing"), ["train", "train", "test", "test"]),
        ("subset", ("Train", "Train", "valid", "TEST"), ["train", "train", "val", "test"]),
        ("split,is_test", ("train,0", "train,0", "test,0", "test,1"), ["train", "train", "test", "test"]),
    ],
)
def test_columns_that_say_what_is_for_training(
    folder: Path, columns: str, cells: tuple[str, ...], splits: list[str]
) -> None:
    manifest = flagged(folder, columns, *cells)
    assert manifest.split[::2].tolist() == splits
    assert manifest.remarks(), "it is said which column was taken, or passed over"


def test_columns_that_may_matter_and_are_not_used_are_named(folder: Path) -> None:
    manifest = flagged(folder, "fold,colour", "1,x", "2,x", "3,x", "4,x")
    assert manifest.split[::2].tolist() == ["train", "train", "test", "test"]
    assert manifest.remarks() == [
        "passed over: the column 'fold'; name it 'split' if it says what is for training",
    ]
    assert flagged(folder, "colour,height", *["x,1"] * 4).remarks() == []


@pytest.mark.parametrize(
    ("columns", "cells", "message"),
    [
        ("is_test", ("0", "0", "perhaps", "1"), "row 6: the is_test is neither yes nor no: 'perhaps'"),
        ("is_test", ("0", "0", "", "1"), "row 6: the is_test is missing"),
        ("is_test,is_train", ("1,1", "0,1", "1,0", "1,0"), "row 2: it is for test and for train at once"),
        ("is_test,is_train", ("0,0", "0,1", "1,0", "1,0"), "row 2: none of is_test, is_train is yes"),
        ("set,subset", ("train,train", "train,train", "test,test", "test,test"), "'set' and 'subset' both name splits"),
    ],
)
def test_columns_that_contradict_themselves(folder: Path, columns: str, cells: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        flagged(folder, columns, *cells)


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame", "folder"])
def test_labels_that_look_the_same_are_one(tmp_path: Path, kind: str) -> None:
    spellings = [unicodedata.normalize("NFC", "Käfer"), unicodedata.normalize("NFD", "Käfer"), "boot", "boot "]
    images = [f"{label}/{number}.png" for number, label in enumerate(spellings)]
    for image in images:
        (tmp_path / image).parent.mkdir()
        (tmp_path / image).touch()
    config, source = DataConfig(test_classes=0), tmp_path
    columns = {"image": images, "label": spellings}
    if kind == "csv":
        rows = "\n".join(f"{image},{label}" for image, label in zip(images, spellings, strict=True))
        source = written(tmp_path, f"image,label\n{rows}\n")
    if kind == "parquet":
        source = tmp_path / "labels.parquet"
        parquet.write_table(pyarrow.table(columns), source)
    manifest = open_table(pyarrow.table(columns), config) if kind == "frame" else open_source(source, config)
    assert manifest.classes() == ["Käfer", "boot"] == [unicodedata.normalize("NFC", name) for name in ["Käfer", "boot"]]
    assert len(manifest) == 4


def test_labels_that_differ_by_more_stay_two_and_are_noted(folder: Path) -> None:
    labels = ["boot", "Boot", "shoe", "shoe\u200b"]
    text = "image,label\n" + "".join(f"img/{number}.png,{labels[number // 2]}\n" for number in ROWS)
    manifest, faults = check_source(written(folder, text))
    assert len(manifest.classes()) == 4
    assert [fault.kind for fault in faults] == ["names alike"] * 2
    assert all(fault.note for fault in faults)


@pytest.mark.parametrize("gone", ["nan", "NaN", "<NA>"])
def test_a_missing_label_that_pandas_wrote_as_text(folder: Path, gone: str) -> None:
    text = table().replace("img/2.png,1", f"img/2.png,{gone}")
    with pytest.raises(DataError, match=f"row 4: the label is missing: '{gone}' is how pandas writes that"):
        open_source(written(folder, text))
    with pytest.raises(DataError, match="row 1: the label is missing"):
        open_table([("a.jpg", gone), ("b.jpg", "x"), ("c.jpg", "x")])


SPELLINGS = {
    "Windows": ("img/ä0.png", "img\\ä0.png"),
    "the suffix": ("img/ä0.png", "img/ä0.PNG"),
    "the folder": ("Img/ä0.png", "img/ä0.png"),
    "typed": (unicodedata.normalize("NFD", "img/ä0.png"), unicodedata.normalize("NFC", "img/ä0.png")),
    "from a Mac": (unicodedata.normalize("NFC", "img/ä0.png"), unicodedata.normalize("NFD", "img/ä0.png")),
    "all of it": (unicodedata.normalize("NFD", "Img/ä0.png"), unicodedata.normalize("NFC", "img\\Ä0.PNG")),
}


@pytest.mark.parametrize(("there", "named"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_path_may_be_spelled_in_another_way(tmp_path: Path, there: str, named: str) -> None:
    rows = []
    for number in ROWS:
        file = tmp_path / there.replace("0", str(number))
        file.parent.mkdir(exist_ok=True)
        picture(number).save(file)
        rows.append(f"{named.replace('0', str(number))},{number // 2}")
    source = written(tmp_path, "image,label\n" + "\n".join(rows))
    manifest, faults = check_source(source)
    assert not faults
    assert read_picture(manifest.reference(7))[0, 0, 0] == 210
    images = [picture.image for picture in open_catalogue(source).pictures((0, 0))]
    assert images[7] == str(tmp_path / there.replace("0", "7"))


def test_two_files_that_could_be_meant_are_none(tmp_path: Path) -> None:
    for name in ("a.PNG", "A.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    source = written(tmp_path, "image,label\na.png,1\nb.png,1\n")
    _, faults = check_source(source)
    assert [fault.kind for fault in faults if fault.row] == ["missing file"] * 2


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    source = written(tmp_path, "image,label\na.png,1\nb.png,1\n")
    assert any(fault.kind == "missing file" for fault in check_source(source)[1])
    Image.new("RGB", (8, 8)).save(tmp_path / "A.PNG")
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(tmp_path / "B.PNG")
    assert not any(fault.kind == "missing file" for fault in check_source(source)[1])


def test_what_is_no_path_is_told_in_a_line(folder: Path) -> None:
    rows = ["x" * 300 + ".jpg,0", "a" * 26_000 + ",0", "data:image/png;base64," + "b" * 200 + ",0"]
    written(folder, table() + "\n".join(rows))
    _, faults = check_source(folder)
    by_row = {fault.row: fault for fault in faults if fault.kind in ("faulty", "unreadable image", "missing file")}
    assert by_row[10].message == "File name too long"
    assert "26,000 characters are no path" in by_row[11].message
    assert all(len(f"{fault.image}{fault.message}") < 500 for fault in faults)
