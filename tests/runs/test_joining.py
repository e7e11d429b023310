"""New labels beside the pictures of a run: where each picture goes, and what cannot be joined."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from folders import drawn
from origins import provenance

from bier.data import Manifest, open_source
from bier.data.label_kinds import other_kind
from bier.errors import DataError
from bier.records.folder import RunFolder
from bier.runs.joining import Joined, join, write_table
from bier.settings.reading import save
from bier.settings.schema import Config
from bier.system.console import plain_console


def run_on(source: Path, folder: Path, **settings: object) -> Path:
    """The folder of a run, as far as joining reads it."""
    folder.mkdir()
    save(Config().replace(**settings), RunFolder(folder).config)
    found = provenance()
    replace(found, data=replace(found.data, path=str(source))).save(folder)
    return folder


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A run on four classes, two of them for testing, and new pictures."""
    for label in "abcd":
        drawn(tmp_path / "photos" / label, 3)
    drawn(tmp_path / "new", 4)
    run_on(tmp_path / "photos", tmp_path / "run")
    return tmp_path


def labels(file: Path, *rows: tuple[Path, str]) -> str:
    with open(file, "w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([("image", "label"), *rows])
    return str(file)


def joined(world: Path, *tables: str) -> Joined:
    return join(world / "run", tables, None, plain_console(quiet=True))


def test_pictures_join_the_split_of_their_class_and_new_classes_the_training(world: Path) -> None:
    new = sorted((world / "new").iterdir())
    table = labels(world / "labels.csv", (new[0], "a"), (new[1], "d"), (new[2], "e"), (new[3], "e"))
    found = joined(world, table)
    assert (found.added, found.changed, found.new_classes, found.notes) == (4, 0, ("e",), ())
    write_table(found, world / "elsewhere" / "all.csv")
    manifest = open_source(world / "elsewhere" / "all.csv")
    assert len(manifest) == 16 and all(manifest.path(row).is_file() for row in range(16))
    splits = {
        str(image): (label, split)
        for image, label, split in zip(manifest.image, manifest.label, manifest.split, strict=True)
    }
    assert [splits[str(picture)] for picture in new] == [("a", "train"), ("d", "test"), ("e", "train"), ("e", "train")]
    before = open_source(world / "photos")
    assert [splits[before.reference(row)] for row in range(12)] == list(zip(before.label, before.split, strict=True))


def test_a_picture_of_the_run_gets_its_new_label_and_the_split_of_that(world: Path) -> None:
    moved, same = world / "photos/a/1.png", world / "photos/b/1.png"
    found = joined(world, labels(world / "labels.csv", (moved, "d"), (same, "b")))
    assert (found.added, found.changed) == (0, 1)
    row = {row["image"]: row for row in found.rows}[str(moved)]
    assert (row["label"], row["split"]) == ("d", "test")


def test_names_groups_and_boxes_are_kept(tmp_path: Path) -> None:
    pictures = [*drawn(tmp_path / "old", 4), *drawn(tmp_path / "new", 1)]
    root = tmp_path / "old"
    names = [picture.name for picture in pictures[:4]]
    box = [[1, 2, 3.5, 4], [1, 2, 3, 4], [float("nan")] * 4, [1, 2, 3, 4]]
    manifest = Manifest.of(
        root,
        "x",
        image=names,
        label=list("aabb"),
        split=["query", "gallery"] * 2,
        group=list("ggGG"),
        name=list("AABB"),
        bbox=box,
    )
    manifest.save(tmp_path / "old.parquet")
    run = run_on(tmp_path / "old.parquet", tmp_path / "run", data__crop_to_bbox=True)
    found = join(
        run, [labels(tmp_path / "t.csv", (pictures[4], "b"), (pictures[0], "a"))], None, plain_console(quiet=True)
    )
    shown = [tuple(row.values())[1:] for row in found.rows]
    assert list(found.rows[0]) == ["image", "label", "split", "group", "name", "bbox"]
    assert shown[0] == ("a", "query", "g", "A", "1.0 2.0 3.5 4.0") and shown[2][-1] == ""
    assert shown[4] == ("b", "gallery", "G", "B", "")


def test_what_separates_labels_is_told(world: Path) -> None:
    run = run_on(world / "photos", world / "several", data__label_separator="|")
    found = join(run, [labels(world / "t.csv", (world / "new/1.png", "a|b"))], None, plain_console(quiet=True))
    assert found.notes == ("labels are separated as in the run: train with --set 'data.label_separator=|'",)
    assert found.new_classes == ("a|b",)


def test_what_cannot_be_joined_is_told(world: Path) -> None:
    picture = world / "new/1.png"
    one, other = labels(world / "1.csv", (picture, "a")), labels(world / "2.csv", (picture, "b"))
    with pytest.raises(DataError, match=r"row 2: .*1\.png has two labels: 'a' and 'b'"):
        joined(world, one, other)
    with pytest.raises(DataError, match=r"1 of its 1 pictures are not there: .*gone\.png"):
        joined(world, labels(world / "gone.csv", (world / "gone.png", "a")))
    with pytest.raises(DataError, match="there are no labels"):
        joined(world, labels(world / "none.csv"))
    with pytest.raises(DataError, match="the label is missing"):
        joined(world, labels(world / "empty.csv", (picture, "")))
    (world / "photos").rename(world / "moved")
    with pytest.raises(DataError, match=r"no longer there(.|\n)*bier data join .*run --source PICTURES"):
        joined(world, one)
    assert join(world / "run", [one], str(world / "moved"), plain_console(quiet=True)).added == 1


def test_a_test_that_a_table_cannot_tell_is_refused(world: Path) -> None:
    manifest = open_source(world / "photos")
    replace(manifest, protocol="vehicleid-draws").save(world / "v.parquet")
    run = run_on(world / "v.parquet", world / "other")
    with pytest.raises(DataError, match="more than the splits of pictures"):
        join(run, [labels(world / "1.csv", (world / "new/1.png", "a"))], None, plain_console(quiet=True))


@pytest.mark.parametrize(
    ("known", "new", "told"),
    [
        (
            ["001", "2"],
            ["3", "boots"],
            "known ones are numbers such as '001', and 1 new ones are words such as 'boots'",
        ),
        (["boots"], ["7", "shoes"], "known ones are words such as 'boots', and 1 new ones are numbers such as '7'"),
        (["911", "Boxster"], ["8", "Cayenne"], None),
        (["boots"], ["boots", "shoes"], None),
    ],
)
def test_labels_of_mixed_kinds_are_told(known: list[str], new: list[str], told: str | None) -> None:
    found = other_kind(known, new)
    assert found is None if told is None else found is not None and told in found
