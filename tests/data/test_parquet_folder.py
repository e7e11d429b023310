"""Several Parquet files as one source, laid out as on Hugging Face's hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet
from tiny_pictures import CLASSES, CONTENT, NAMES

from bier.data import open_source
from bier.data.check import check_source, describe_faults
from bier.data.datasets import kind_of
from bier.data.references import picture_bytes
from bier.errors import DataError
from bier.vectors.sources import open_catalogue


def written(file: Path, names: Sequence[str], classes: Sequence[str] = CLASSES, **columns: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pictures = [{"bytes": CONTENT[name], "path": name.rpartition("/")[2]} for name in names]
    labels = [CLASSES.index(name.partition("/")[0]) for name in names]
    about = {"info": {"features": {"label": {"names": list(classes), "_type": "ClassLabel"}}}}
    table = arrow.table({"image": pictures, "label": labels, **columns})
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), file, row_group_size=4)
    return file


def names_of(manifest: Any) -> list[str]:
    known = {content: name for name, content in CONTENT.items()}
    return [known[picture_bytes(manifest.reference(row))] for row in range(len(manifest))]


def test_the_layout_of_the_hub(tmp_path: Path) -> None:
    for number in range(2):
        written(tmp_path / f"data/train-{number:05d}-of-00002.parquet", NAMES[number * 3 : number * 3 + 3])
    written(tmp_path / "data/test-00000-of-00001.parquet", NAMES[6:])
    assert kind_of(tmp_path) == "parquet"
    manifest, faults = check_source(tmp_path)
    assert not faults
    order = [*NAMES[6:], *NAMES[:6]]
    assert names_of(manifest) == order
    assert manifest.split.tolist() == ["test"] * 6 + ["train"] * 6
    assert [manifest.title(row) for row in (0, 3, 6)] == ["shoe 2", "shoe 10", "boot"]
    entries = list(open_catalogue(tmp_path).pictures((0, 0)))
    assert entries[6].id == "data/train-00000-of-00002.parquet:1:1.png"
    assert [picture_bytes(entry.image) for entry in entries] == [CONTENT[name] for name in order]


def test_files_of_no_split_and_of_train_alone_are_split_by_class(tmp_path: Path) -> None:
    for folder, name in (("none", "part-{}.parquet"), ("train", "train-{}.parquet")):
        for number in range(2):
            written(tmp_path / folder / name.format(number), NAMES[number::2])
        manifest = open_source(tmp_path / folder)
        assert sorted(zip(names_of(manifest), manifest.split, strict=True)) == sorted(
            zip(NAMES, ["train"] * 6 + ["test"] * 6, strict=True)
        )


def test_fields_of_all_files_reach_an_index(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", NAMES[:6], price=[1.5] * 6)
    written(tmp_path / "b.parquet", NAMES[6:])
    catalogue = open_catalogue(tmp_path)
    assert [entry.fields["price"] for entry in catalogue.pictures((0, 0))] == [1.5] * 6 + [None] * 6
    written(tmp_path / "b.parquet", NAMES[6:], price=["dear"] * 6)
    with pytest.raises(DataError, match=r"'price' is decimal in a\.parquet and text in b\.parquet"):
        open_catalogue(tmp_path)


def test_tables_of_paths_below_the_folder(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / split
        folder.mkdir()
        for name in NAMES[:2]:
            (folder / name.rpartition("/")[2]).write_bytes(CONTENT[name])
        table = arrow.table({"image": [name.rpartition("/")[2] for name in NAMES[:2]], "label": ["a", "a"]})
        parquet.write_table(table, folder / "labels.parquet")
    manifest, _ = check_source(tmp_path)
    assert sorted(manifest.image) == ["test/1.png", "test/2.png", "train/1.png", "train/2.png"]
    assert all(manifest.path(row).is_file() for row in range(4))


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", NAMES[:6])
    written(tmp_path / "b.parquet", NAMES[5:], classes=CLASSES[::-1])
    with pytest.raises(DataError, match=r"the label 1 means 'hat' in a\.parquet and 'shoe 2' in b\.parquet"):
        open_source(tmp_path)
    written(tmp_path / "b.parquet", NAMES[6:]).rename(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"named after a split \(test\.parquet\), and some are not \(a\.parquet\)"):
        open_source(tmp_path)
    (tmp_path / "test.parquet").unlink()
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:500])
    with pytest.raises(DataError, match=r"b\.parquet: not a readable Parquet file"):
        open_source(tmp_path)
    table = arrow.table({"image": ["1.png", ""], "label": ["a", "a"]})
    parquet.write_table(table, tmp_path / "b.parquet")
    assert "b.parquet, row 2: the image is missing" in "\n".join(describe_faults(check_source(tmp_path)[1]))


def test_a_table_beside_class_folders_or_pictures_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "boots").mkdir()
    written(tmp_path / "all.parquet", NAMES)
    assert kind_of(tmp_path) == "folder"
    (tmp_path / "loose").mkdir()
    written(tmp_path / "loose" / "prices.parquet", NAMES)
    (tmp_path / "loose" / "1.png").write_bytes(CONTENT[NAMES[0]])
    assert kind_of(tmp_path / "loose") == "folder"
