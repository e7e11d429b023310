"""One folder, one meaning: what training and search read of the same pictures, and labels in tar files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pandas
import pyarrow as arrow
import pytest
from PIL import Image
from pyarrow import parquet

from bier.data import open_source
from bier.data.references import picture_bytes
from bier.errors import DataError
from bier.settings.schema import DataConfig
from bier.vectors.sources import open_catalogue
from bier.vectors.tars import label_of_json

FOLDERS = {
    "classes": ["a/1.jpg", "a/2.jpg", "b/deep/3.jpg"],
    "splits": ["train/a/1.jpg", "train/a/2.jpg", "test/b/3.jpg", "test/b/deep/4.jpg"],
    "one called train": ["train/1.jpg", "train/2.jpg", "b/3.jpg"],
    "system folders": ["a/1.jpg", "a/2.jpg", "b/3.jpg", "@eaDir/1.jpg/T.jpg", "a/@eaDir/1.jpg/T.jpg", "b/._3.jpg"],
}


def photos(folder: Path, names: Sequence[str]) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 9, 9)).save(folder / name)
    return folder


def labels(*source: Path) -> dict[str, str | None]:
    pictures = open_catalogue(source).pictures((0, 0))
    return {picture.id.rpartition(":")[2]: picture.label for picture in pictures}


@pytest.mark.parametrize("names", FOLDERS.values(), ids=FOLDERS)
def test_training_and_search_read_the_same(tmp_path: Path, names: list[str]) -> None:
    source = photos(tmp_path / "photos", names)
    manifest = open_source(source, DataConfig(test_classes=0))
    read = dict(zip(manifest.image, manifest.label, strict=True))
    assert labels(source) == read
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(source, "photos")
    found = {name.removeprefix("photos/"): label for name, label in labels(tmp_path / "photos.tar").items()}
    assert found == read


def test_the_classes_may_lie_deeper_and_are_named_as_in_training(tmp_path: Path) -> None:
    names = [
        f"{kind}/{i}.jpg"
        for kind in ("Fruit/Apple", "Fruit/Pear", "Fruit/Other", "Box/Milk", "Box/Other")
        for i in "12"
    ]
    source = photos(tmp_path / "shop", [*names, "Box/9.jpg"])
    read = open_source(source, DataConfig(test_classes=0, class_depth=2))
    catalogue = open_catalogue(source, class_depth=2)
    assert {picture.id: picture.label for picture in catalogue.pictures((0, 0))} == dict(
        zip(read.image, read.label, strict=True)
    )
    assert set(read.label) == {"Apple", "Pear", "Fruit/Other", "Milk", "Box/Other", "Box"}
    assert catalogue.remarks() == []
    [line] = open_catalogue(source).remarks()
    assert line.startswith("the 2 topmost folders are the classes; with --class-depth=2 it would be 6 classes")
    with pytest.raises(DataError, match="no picture lies 3 folders deep"):
        open_catalogue(source, class_depth=3)
    with tarfile.open(tmp_path / "shop.tar", "w") as tar:
        tar.add(source, "shop")
    with pytest.raises(DataError, match=r"--class-depth: shop\.tar is not a folder of pictures"):
        open_catalogue(tmp_path / "shop.tar", class_depth=2)


def test_linked_classes_are_in_the_index_too(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", ["a/1.jpg", "a/2.jpg"])
    (source / "b").symlink_to(photos(tmp_path / "disk", ["3.jpg"]))
    assert labels(source) == {"a/1.jpg": "a", "a/2.jpg": "a", "b/3.jpg": "b"}


def test_loose_pictures_are_searched_without_a_label(tmp_path: Path) -> None:
    assert labels(photos(tmp_path, ["a/1.jpg", "2.jpg"])) == {"2.jpg": None, "a/1.jpg": "a"}
    mixed = photos(tmp_path / "mixed", ["train/a/1.jpg", "test/b/2.jpg", "new/3.jpg"])
    assert set(labels(mixed).values()) == {None}
    assert any("no labels" in line for line in open_catalogue(mixed).remarks())


def test_the_index_says_what_was_passed_over(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", ["a/1.jpg"])
    (source / "a" / "2.dng").touch()
    assert open_catalogue(source).remarks() == ["passed over: 1 .dng (export it as JPEG or PNG)"]
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(source, ".")
    catalogue = open_catalogue(tmp_path / "photos.tar")
    assert len(list(catalogue.pictures((0, 0)))) == 1
    assert catalogue.remarks() == ["passed over: 1 .dng (export it as JPEG or PNG)"]


JPEG = io.BytesIO()
Image.new("RGB", (8, 8), (40, 9, 9)).save(JPEG, "JPEG")


def tar_of(file: Path, members: dict[str, str]) -> Path:
    """A tar file of pictures, whose content is the same, and of label files with these texts."""
    with tarfile.open(file, "w") as tar:
        for name, text in members.items():
            data = text.encode() or JPEG.getvalue()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


TARS = {
    "dots in names": (
        {"IMG.000.jpg": "", "IMG.000.cls": "boot", "IMG.001.jpg": "", "IMG.001.cls": "shoe", "IMG.002.jpg": ""},
        {"IMG.000.jpg": "boot", "IMG.001.jpg": "shoe", "IMG.002.jpg": None},
    ),
    "dates": (
        {"a/v1.2_1.jpg": "", "a/v1.2_1.json": '{"label": 7}', "a/v1.2_2.jpg": "", "a/v1.2_2.json": '{"label": 8}'},
        {"a/v1.2_1.jpg": "7", "a/v1.2_2.jpg": "8"},
    ),
    "two views of one thing": (
        {"1.left.jpg": "", "1.right.jpg": "", "1.cls": "boot", "2.left.jpg": "", "2.cls": "shoe"},
        {"1.left.jpg": "boot", "1.right.jpg": "boot", "2.left.jpg": "shoe"},
    ),
    "one file for a group": ({"1.left.jpg": "", "1.meta.json": '{"cls": "boot"}'}, {"1.left.jpg": "boot"}),
    "not side by side": ({"1.jpg": "", "2.jpg": "", "1.cls": "a", "2.cls": "b"}, {"1.jpg": "a", "2.jpg": "b"}),
    "number and text": ({"1.jpg": "", "1.cls": "3", "1.json": '{"label": "boot"}'}, {"1.jpg": "3"}),
    "a label without its picture": ({"I.1.jpg": "", "I.2.xyz": "x", "I.2.cls": "boot"}, {"I.1.jpg": None}),
    "class folders": ({"./a/1.jpg": "", "./b/2.jpg": ""}, {"./a/1.jpg": "a", "./b/2.jpg": "b"}),
    "hidden": ({"a/1.jpg": "", "__MACOSX/a/._1.jpg": "", "a/._1.jpg": ""}, {"a/1.jpg": "a"}),
    "no suffix": ({"a/IMG_1": "", "a/README": "text"}, {"a/IMG_1": "a"}),
    "no folder": ({"1.jpg": ""}, {"1.jpg": None}),
}


@pytest.mark.parametrize(("members", "right"), TARS.values(), ids=TARS)
def test_labels_in_tar_files(tmp_path: Path, members: dict[str, str], right: dict[str, str | None]) -> None:
    assert labels(tar_of(tmp_path / "part.tar", members)) == right


def test_tar_files_of_one_class_or_one_split_each(tmp_path: Path) -> None:
    one = tar_of(tmp_path / "1.tar", {"boots/red/1.jpg": ""}), tar_of(tmp_path / "2.tar", {"shoes/2.jpg": ""})
    assert labels(*one) == {"boots/red/1.jpg": "boots", "shoes/2.jpg": "shoes"}
    sides = tar_of(tmp_path / "3.tar", {"train/a/1.jpg": ""}), tar_of(tmp_path / "4.tar", {"test/b/2.jpg": ""})
    assert labels(*sides) == {"train/a/1.jpg": "a", "test/b/2.jpg": "b"}


def test_links_in_a_tar_file_are_the_pictures_they_name(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", ["a/1.jpg"])
    (source / "b").mkdir()
    (source / "b" / "2.jpg").hardlink_to(source / "a" / "1.jpg")
    (source / "b" / "3.jpg").symlink_to("../a/1.jpg")
    (source / "b" / "4.jpg").symlink_to("../../elsewhere.jpg")
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for name in ("a/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"):
            tar.add(source / name, name)
    assert labels(tmp_path / "all.tar") == {"a/1.jpg": "a", "b/2.jpg": "b", "b/3.jpg": "b"}
    for picture in open_catalogue(tmp_path / "all.tar").pictures((0, 0)):
        assert picture_bytes(picture.image) == (source / "a" / "1.jpg").read_bytes()


def test_a_json_beside_a_picture_may_hold_its_label() -> None:
    assert label_of_json('{"label": 7}') == "7"
    assert label_of_json('{"cls": "a"}') == "a"
    assert label_of_json("[1]") is label_of_json("{") is label_of_json("[" * 100_000) is None


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_need_no_labels_to_be_searched(tmp_path: Path, kind: str) -> None:
    photos(tmp_path, ["1.jpg", "2.jpg"])
    images, some = {"image": ["1.jpg", "2.jpg"]}, {"label": ["a", ""]}
    for content, expected in ((images, None), ({**images, **some}, "a")):
        file = tmp_path / f"photos.{kind}"
        frame = pandas.DataFrame(content)
        frame.to_csv(file, index=False) if kind == "csv" else frame.to_parquet(file)
        assert labels(file) == {"1.jpg": expected, "2.jpg": None}
        with pytest.raises(DataError, match="label"):
            open_source(file)


def test_the_labels_of_a_picture_become_a_field(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,label\n0.jpg,red | round\n1.jpg,red\n2.jpg,\n", encoding="utf-8")
    catalogue = open_catalogue(tmp_path, label_separator="|")
    assert catalogue.kinds == {"labels": "texts"}
    assert [picture.fields["labels"] for picture in catalogue.pictures((0, 0))] == [["red", "round"], ["red"], None]
    assert catalogue.fingerprint != open_catalogue(tmp_path).fingerprint


def test_a_list_of_labels_is_such_a_field_too(tmp_path: Path) -> None:
    table = arrow.table({"image": ["0.jpg", "1.jpg"], "label": [["red", "round"], ["red"]]})
    parquet.write_table(table, tmp_path / "photos.parquet")
    pictures = list(open_catalogue(tmp_path / "photos.parquet", label_separator="|").pictures((0, 0)))
    assert [(picture.label, picture.fields["labels"]) for picture in pictures] == [
        ("red|round", ["red", "round"]),
        ("red", ["red"]),
    ]
    with pytest.raises(DataError, match="'label' holds lists"):
        open_catalogue(tmp_path / "photos.parquet")


@pytest.mark.parametrize("header", ["image,label,labels", "image,label,Labels "])
def test_a_field_of_that_name_is_there_already(tmp_path: Path, header: str) -> None:
    (tmp_path / "labels.csv").write_text(f"{header}\n0.jpg,red,3\n", encoding="utf-8")
    with pytest.raises(DataError, match="has a column 'labels' already"):
        open_catalogue(tmp_path, label_separator="|")
