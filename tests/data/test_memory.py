"""Tables in memory: what becomes of every kind of cell, and what mistakes are called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from bier.data import open_source
from bier.data.datasets import memory, open_table
from bier.errors import DataError
from bier.settings.schema import DataConfig

IMAGES = [f"{label}/{number}.jpg" for label in range(1, 5) for number in range(2)]
LABELS = [str(label) for label in range(1, 5) for _ in range(2)]
ABSOLUTE = [os.path.abspath(image) for image in IMAGES]

FRAMES = {
    "plain": pandas.DataFrame({"image": IMAGES, "label": LABELS}),
    "with an index": pandas.DataFrame({"image": IMAGES, "label": LABELS}, index=list("hgfedcba")),
    "with an index of a known name": pandas.DataFrame(
        {"image": IMAGES, "label": LABELS}, index=pandas.Index(range(8), name="split")
    ),
    "categorical": pandas.DataFrame({"image": IMAGES, "label": pandas.Categorical(LABELS)}),
    "whole numbers": pandas.DataFrame({"image": IMAGES, "label": [int(label) for label in LABELS]}),
    "floats": pandas.DataFrame({"image": IMAGES, "label": [float(label) for label in LABELS]}),
    "paths": pandas.DataFrame({"image": [Path(image) for image in IMAGES], "label": LABELS}),
    "absolute paths": pandas.DataFrame({"image": ABSOLUTE, "label": LABELS}),
    "objects beside it": pandas.DataFrame({"image": IMAGES, "label": LABELS, "note": [object(), 1, "a", *[None] * 5]}),
    "mixed labels": pandas.DataFrame({"image": IMAGES, "label": [1, 1, "2", "2", 3, 3, "4", "4"]}),
    "other spelling": pandas.DataFrame({" Image": IMAGES, "LABEL": LABELS}),
    "arrow's own types": pandas.DataFrame({"image": IMAGES, "label": LABELS}).convert_dtypes(dtype_backend="pyarrow"),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_every_kind_of_column_gives_the_same_pictures(frame: pandas.DataFrame) -> None:
    manifest = open_table(frame)
    assert manifest.image.tolist() == ABSOLUTE
    assert manifest.label.tolist() == LABELS
    assert manifest.split.tolist() == ["train"] * 4 + ["test"] * 4


@pytest.mark.parametrize(
    "source",
    [
        pyarrow.table({"image": IMAGES, "label": LABELS}),
        pyarrow.table({"image": IMAGES, "label": pyarrow.array(LABELS).dictionary_encode()}),
        pyarrow.table({"image": IMAGES, "label": [int(label) for label in LABELS], "other": [b"x"] * 8}),
        list(zip(IMAGES, LABELS, strict=True)),
        [(Path(image), int(label)) for image, label in zip(IMAGES, LABELS, strict=True)],
        tuple([image, np.int64(label)] for image, label in zip(IMAGES, LABELS, strict=True)),
    ],
    ids=["arrow", "arrow with categories", "arrow with numbers", "pairs", "pairs of other types", "lists"],
)
def test_arrow_tables_and_pairs_give_them_too(source: Any) -> None:
    assert open_table(source).fingerprint() == open_table(FRAMES["plain"]).fingerprint()


def test_a_saved_table_is_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (name, frame) in enumerate(FRAMES.items()):
        file = memory.save(frame, tmp_path / str(number) / "source.parquet")
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir(tmp_path)
            assert open_source(file).fingerprint() == open_table(FRAMES["plain"].assign(image=ABSOLUTE)).fingerprint()
        assert "note" not in pyarrow.parquet.read_schema(file).names, name


def test_splits_boxes_and_names_are_read() -> None:
    frame = FRAMES["plain"].assign(
        split=["train"] * 4 + ["query", "gallery"] * 2,
        x=1,
        y=2.0,
        width=30,
        height=[40] * 7 + [50],
        name=[f"bird {label}" for label in LABELS],
    )
    manifest = open_table(frame, DataConfig(crop_to_bbox=True))
    assert manifest.protocol == "query-gallery"
    assert manifest.bbox is not None
    assert manifest.bbox[-1].tolist() == [1, 2, 30, 50]
    assert manifest.title(7) == "bird 4"


MISSING = [None, float("nan"), pandas.NA, ""]


@pytest.mark.parametrize("gone", MISSING, ids=repr)
@pytest.mark.parametrize("kind", ["object", "str", "category"])
@pytest.mark.parametrize("column", ["image", "label"])
def test_missing_cells_of_a_frame_are_named(column: str, kind: str, gone: Any) -> None:
    frame = FRAMES["plain"].astype({column: "object"})
    frame.loc[2, column] = gone
    with pytest.raises(DataError, match=rf"row 3\b.*the {column} is missing"):
        open_table(frame.astype({column: kind}))


def test_missing_whole_numbers_leave_the_others_whole() -> None:
    frame = FRAMES["plain"].assign(label=[1, 1, 2, 2, 3, 3, 4, None])
    with pytest.raises(DataError, match=r"row 8\b.*the label is missing"):
        open_table(frame)
    assert set(open_table(frame[:7]).label) == {"1", "2", "3", "4"}


def test_missing_cells_beside_paths_and_among_pairs_are_named() -> None:
    frame = FRAMES["paths"].copy()
    frame.loc[1, "image"] = None
    with pytest.raises(DataError, match=r"row 2\b.*the image is missing"):
        open_table(frame)
    for label in (None, float("nan"), ""):
        with pytest.raises(DataError, match=r"row 2\b.*the label is missing"):
            open_table([("a.jpg", 1), ("b.jpg", label), ("c.jpg", "x")])
    with pytest.raises(DataError, match=r"row 1\b.*the image is missing"):
        open_table([("", 1), ("b.jpg", 1), ("c.jpg", 2)])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (FRAMES["plain"].rename(columns={"label": "class"}), "table: there is no column 'label'"),
        (FRAMES["plain"].rename(columns={"image": "images"}), "rename the column 'images' to 'image'"),
        (FRAMES["plain"].set_index("image"), "there is no column 'image'"),
        (FRAMES["plain"].assign(Label="x"), "there are two columns 'label'"),
        (pandas.concat([FRAMES["plain"], FRAMES["plain"]], axis=1), "there are two columns 'image'"),
        (FRAMES["plain"].assign(splits="train"), "did you mean 'split'"),
        (FRAMES["plain"].assign(split="trian"), "row 1: unknown split 'trian': did you mean 'train'"),
        (FRAMES["plain"].assign(label="same"), "one class only"),
        (FRAMES["plain"][:0], "there are no pictures"),
        ([], "there are no pictures"),
        (FRAMES["plain"]["image"], "a Series is no source of pictures"),
        ({"image": IMAGES}, "a dict is no source of pictures"),
        (zip(IMAGES, LABELS, strict=True), "a zip is no source of pictures"),
        (None, "a NoneType is no source of pictures"),
        (b"photos", "a bytes is no source of pictures"),
        (IMAGES, "row 1: '1/0.jpg' is no pair of a path and a label"),
        ([("a.jpg", 1), ("b.jpg", 1, 2)], "row 2: .* is no pair"),
        ([(1, "a.jpg")], "row 1: .* is no pair"),
    ],
)
def test_mistakes_are_told(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_table(source)
