"""Folders as they are found on disks: what belongs to a system, links, split folders, files that are no pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from bier.data import open_source
from bier.data.check import check_source
from bier.data.datasets.walk import is_system, walk
from bier.errors import DataError
from bier.settings.schema import DataConfig

ALL_TRAIN = DataConfig(test_classes=0)


def pictures(folder: Path, *names: str) -> Path:
    """Empty files: readers do not open what has the suffix of a picture."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", ".thumbnails", "__MACOSX", "lost+found"),
        *("Thumbs.db", "desktop.ini", "._boot.jpg", ".DS_Store", "@Recycle"),
    ],
)
def test_what_belongs_to_a_system_is_no_data(tmp_path: Path, name: str) -> None:
    assert is_system(name)
    pictures(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", f"{name}/x/4.jpg", f"a/{name}/5.jpg", f"a/more/{name}/6.jpg")
    assert open_source(tmp_path, ALL_TRAIN).image.tolist() == ["a/1.jpg", "a/2.jpg", "b/3.jpg"]


def test_honest_names_are_data() -> None:
    assert not any(map(is_system, ["recycle", "boots", "lost and found", "#1", "$5", "thumbs.jpg", "@home"]))


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    disk = pictures(tmp_path / "disk", "boots/1.jpg", "boots/2.jpg", "red/3.jpg", "4.jpg")
    photos = pictures(tmp_path / "photos", "shoes/5.jpg")
    (photos / "boots").symlink_to(disk / "boots")
    (photos / "shoes" / "red").symlink_to(disk / "red")
    (photos / "shoes" / "4.jpg").symlink_to(disk / "4.jpg")
    manifest = open_source(photos, ALL_TRAIN)
    assert dict(zip(manifest.image, manifest.label, strict=True)) == {
        **{"boots/1.jpg": "boots", "boots/2.jpg": "boots"},
        **{"shoes/4.jpg": "shoes", "shoes/5.jpg": "shoes", "shoes/red/3.jpg": "shoes"},
    }
    assert not manifest.remarks()


def test_no_link_leads_in_a_circle_or_counts_pictures_again(tmp_path: Path) -> None:
    photos = pictures(tmp_path / "photos", "a/1.jpg", "a/2.jpg", "b/deep/3.jpg", "b/deep/4.jpg")
    pictures(tmp_path, "other/5.jpg")
    for link, target in {"up": "..", "self": ".", "a/again": "../b", "b/deep/root": "../..", "alias": "a"}.items():
        (photos / link).symlink_to(target)
    (photos / "a" / "loop").symlink_to("loop")
    (photos / "a" / "gone.jpg").symlink_to("nothing")
    manifest = open_source(photos, ALL_TRAIN)
    assert manifest.image.tolist() == ["a/1.jpg", "a/2.jpg", "a/gone.jpg", "b/deep/3.jpg", "b/deep/4.jpg"]
    assert sorted(walk(photos).links) == ["a/again", "alias", "b/deep/root", "self", "up"]
    assert any("read already" in line and "up" in line for line in manifest.remarks())


def test_a_link_into_a_hidden_folder_is_followed(tmp_path: Path) -> None:
    pictures(tmp_path, ".store/1/1.jpg", ".store/1/2.jpg", "b/3.jpg")
    (tmp_path / "a").symlink_to(".store/1")
    assert open_source(tmp_path, ALL_TRAIN).classes() == ["a", "b"]


def png(file: Path, shade: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 90, 7)).save(file, "PNG")


def test_a_file_without_a_suffix_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    pictures(tmp_path, "a/1.jpg", "b/2.jpg", "b/3.jpg", "b/README")
    png(tmp_path / "a" / "IMG_0001", 3)
    os.mkfifo(tmp_path / "a" / "pipe")
    for name, text in {"LICENSE": "BMW and others", "NOTES": "Python notes", "TODO": "P1 first of all"}.items():
        (tmp_path / "b" / name).write_text(text)
    manifest = open_source(tmp_path, ALL_TRAIN)
    assert "a/IMG_0001" in manifest.image
    assert manifest.passed_over == {"": 5}
    assert manifest.remarks() == ["passed over: 5 without a suffix"]


def test_what_is_passed_over_is_counted_by_suffix(tmp_path: Path) -> None:
    pictures(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", "loose.jpg", "x.xyz")
    pictures(tmp_path, *(f"a/{number}.NEF" for number in range(12)), *(f"b/{number}.xyz" for number in range(3)))
    manifest = open_source(tmp_path, ALL_TRAIN)
    files, loose = manifest.remarks()
    assert files == "passed over: 12 .nef (export it as JPEG or PNG), 4 .xyz"
    assert loose == "pictures beside the class folders, passed over: 1, such as loose.jpg"


def test_a_class_that_vanishes_is_a_fault(tmp_path: Path) -> None:
    pictures(tmp_path, "papers/1.pdf", "raw/1.dng", "raw/2.dng")
    for number in range(4):
        png(tmp_path / "ab"[number % 2] / f"{number}.png", number)
    with pytest.raises(DataError, match=r"no picture of the class 'raw' can be read: 2 \.dng") as caught:
        open_source(tmp_path, ALL_TRAIN)
    assert caught.value.remedy
    manifest, faults = check_source(tmp_path, ALL_TRAIN)
    assert len(manifest) == 4
    assert ["'raw'" in fault.message for fault in faults if not fault.note] == [True]


def test_folders_named_training_and_testing_are_splits(tmp_path: Path) -> None:
    pictures(tmp_path, "Training/a/1.jpg", "Training/a/2.jpg", "testing/b/1.jpg", "testing/b/2.jpg")
    manifest = open_source(tmp_path)
    assert manifest.split.tolist() == ["train", "train", "test", "test"]
    assert manifest.classes() == ["a", "b"]
