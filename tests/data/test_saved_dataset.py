"""Folders of Hugging Face's `datasets`, written here with pyarrow as ``save_to_disk`` lays them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from tiny_pictures import CLASSES, CONTENT, NAMES

from bier.data import TestTransform, image_loader, open_source
from bier.data.check import check_source, describe_faults
from bier.data.datasets import kind_of
from bier.data.references import picture_bytes, short_name
from bier.errors import DataError, ImageError
from bier.settings.schema import DataConfig
from bier.vectors.sources import open_catalogue

STRUCT = arrow.struct({"bytes": arrow.binary(), "path": arrow.string()})
FEATURES = {"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}


def table_of(names: Sequence[str], **columns: Any) -> Any:
    pictures = [{"bytes": CONTENT[name], "path": name.rpartition("/")[2]} for name in names]
    labels = [CLASSES.index(name.partition("/")[0]) for name in names]
    content = {"image": arrow.array(pictures, STRUCT), "label": arrow.array(labels, arrow.int64()), **columns}
    about = {"info": {"features": FEATURES}}
    return arrow.table(content).replace_schema_metadata({"huggingface": json.dumps(about)})


def saved(folder: Path, tables: Sequence[Any], split: str | None = None, features: Any = FEATURES) -> Path:
    """One dataset in as many streams, of five rows in each batch."""
    folder.mkdir(parents=True)
    files = [f"data-{number:05d}-of-{len(tables):05d}.arrow" for number in range(len(tables))]
    for file, table in zip(files, tables, strict=True):
        with arrow.OSFile(str(folder / file), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as stream:
            for batch in table.to_batches(max_chunksize=5):
                stream.write_batch(batch)
    state = {
        "_data_files": [{"filename": file} for file in files],
        "_fingerprint": "0123456789abcdef",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    (folder / "state.json").write_text(json.dumps(state, indent=2))
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2))
    return folder


def in_splits(folder: Path, **splits: Sequence[Any]) -> Path:
    for split, tables in splits.items():
        saved(folder / split, tables, split)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


def names_of(manifest: Any) -> list[str]:
    known = {content: name for name, content in CONTENT.items()}
    return [known[picture_bytes(manifest.reference(row))] for row in range(len(manifest))]


def test_a_dataset_is_read_where_it_lies(tmp_path: Path) -> None:
    source = saved(tmp_path / "birds", [table_of(NAMES[:7]), table_of(NAMES[7:])], "train")
    assert kind_of(source) == "datasets"
    manifest, faults = check_source(source)
    assert not faults
    assert names_of(manifest) == NAMES
    assert [manifest.title(row) for row in range(0, 12, 3)] == list(CLASSES)
    assert set(manifest.split) == {"train", "test"}, "one dataset alone is split by its classes"
    assert short_name(manifest.reference(8)) == "data-00001-of-00002.arrow:2:10.png"
    for workers in (0, 2):
        images = [batch.images for batch in image_loader(manifest, TestTransform(8), 4, workers)]
        assert sum(map(len, images)) == 12
    entries = list(open_catalogue(source).pictures((0, 0)))
    assert [entry.label for entry in entries] == [name.partition("/")[0] for name in NAMES]
    assert [picture_bytes(entry.image) for entry in entries] == [CONTENT[name] for name in NAMES]
    moved = source.rename(tmp_path / "moved")
    assert open_source(moved).fingerprint() == manifest.fingerprint()


def test_splits_are_folders_of_it(tmp_path: Path) -> None:
    source = in_splits(
        tmp_path / "birds", train=[table_of(NAMES[:6])], validation=[table_of(NAMES[6:9])], test=[table_of(NAMES[9:])]
    )
    manifest = open_source(source)
    assert names_of(manifest) == NAMES
    assert manifest.split.tolist() == ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    ids = [entry.id for entry in open_catalogue(source).pictures((0, 0))]
    assert len(set(ids)) == 12
    assert ids[0] == "train/data-00000-of-00001.arrow:1:1.png"
    assert len(open_source(source / "train", DataConfig(test_classes=0))) == 6


def test_a_split_of_train_alone_is_split_by_class(tmp_path: Path) -> None:
    manifest = open_source(in_splits(tmp_path / "birds", train=[table_of(NAMES)]))
    assert manifest.split.tolist() == ["train"] * 6 + ["test"] * 6
    assert any("no split but train" in line for line in manifest.remarks())


def test_names_of_classes_are_those_of_the_description(tmp_path: Path) -> None:
    features = {**FEATURES, "label": {"names": ["a", "b", "c", "d"], "_type": "ClassLabel"}}
    manifest = open_source(saved(tmp_path / "birds", [table_of(NAMES)], features=features))
    assert manifest.title(0) == "a"


def test_fields_reach_an_index(tmp_path: Path) -> None:
    source = saved(tmp_path / "birds", [table_of(NAMES, price=arrow.array([float(n) for n in range(12)]))])
    catalogue = open_catalogue(source)
    assert catalogue.kinds["price"] == "decimal"
    assert [entry.fields["price"] for entry in catalogue.pictures((0, 0))][3] == 3.0


def test_a_cell_may_hold_a_path_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.png").write_bytes(CONTENT[NAMES[0]])
    table = table_of(NAMES)
    rows = [*table.column("image").to_pylist()]
    rows[0] = {"bytes": None, "path": str(tmp_path / "own.png")}
    source = saved(tmp_path / "birds", [table.set_column(0, "image", arrow.array(rows, STRUCT))])
    assert names_of(open_source(source)) == NAMES
    rows[7] = {"bytes": None, "path": None}
    broken = saved(tmp_path / "broken", [table.set_column(0, "image", arrow.array(rows, STRUCT))])
    with pytest.raises(DataError, match=r"arrow: 1 faulty row:\s+row 8: the image is missing"):
        open_source(broken)
    assert "00001.arrow, row 8: the image is missing" in "\n".join(describe_faults(check_source(broken)[1]))


@pytest.mark.parametrize("left", [0, 100, 0.5, -8, -1], ids=["empty", "schema", "batch", "end", "last byte"])
def test_a_stream_that_was_cut_off_is_named(tmp_path: Path, left: float) -> None:
    source = saved(tmp_path / "birds", [table_of(NAMES)])
    file = source / "data-00000-of-00001.arrow"
    content = file.read_bytes()
    manifest = open_source(source)
    file.write_bytes(content[: int(len(content) * left) if left == 0.5 else int(left)])
    with pytest.raises(DataError, match=r"data-00000-of-00001\.arrow: .*(empty|cut off)"):
        open_source(source)
    with pytest.raises(ImageError, match="cannot be read"):
        picture_bytes(manifest.reference(0))


def test_mistakes_with_such_folders(tmp_path: Path) -> None:
    source = in_splits(tmp_path / "birds", train=[table_of(NAMES[:6])], test=[table_of(NAMES[6:])])
    (source / "test" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match="No such file"):
        open_source(source)
    (source / "test" / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"state\.json: cannot be read"):
        open_source(source)
    (source / "test" / "state.json").write_text("{}")
    with pytest.raises(DataError, match="names no data"):
        open_source(source)
    (source / "dataset_dict.json").write_text('{"splits": ["train", "extra"]}')
    with pytest.raises(DataError, match="unknown split 'extra'"):
        open_source(source)
    other = {**FEATURES, "label": {"names": CLASSES[::-1]}}
    saved(tmp_path / "two/train", [table_of(NAMES)])
    saved(tmp_path / "two/test", [table_of(NAMES)], features=other)
    (tmp_path / "two/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match=r"the label 0 means 'boot' in train/.* and 'shoe 10' in test/"):
        open_source(tmp_path / "two")
    unlabelled = saved(tmp_path / "unlabelled", [table_of(NAMES).drop_columns(["label"])])
    with pytest.raises(DataError, match="there is no column 'label'"):
        open_source(unlabelled)
    assert [entry.label for entry in open_catalogue(unlabelled).pictures((0, 0))] == [None] * 12
