"""`check` finds every planted fault at once, and nothing in a clean manifest."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bier.data import Manifest, open_source
from bier.data.check import KINDS, Fault, check, check_source, describe_faults

Row = tuple[str, str, str]


def write_pictures(folder: Path, *names: str) -> None:
    """A picture of 8 x 6 for each name, no two alike."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def table(folder: Path, *rows: Row) -> Manifest:
    """(image, label, split) for each row, which are numbered from 2 as in a CSV file."""
    images, labels, splits = zip(*rows, strict=True)
    return Manifest.of(folder, "labels.csv", image=images, label=labels, split=splits, row=range(2, len(rows) + 2))


CLEAN: tuple[Row, ...] = (
    *(("a1.png", "a", "train"), ("a2.png", "a", "train"), ("b1.png", "b", "test"), ("b2.png", "b", "test")),
    *(("c1.png", "c", "val"), ("c2.png", "c", "val")),
)


def found(faults: list[Fault]) -> list[tuple[str, int | None]]:
    return [(fault.kind, fault.row) for fault in faults]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path, *(image for image, _, _ in CLEAN), *(f"{letter}1.png" for letter in "defgh"), "a3.jpg")
    return tmp_path


def test_a_clean_manifest_has_no_faults_and_progress_is_told(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    assert check(table(folder, *CLEAN), workers=1, progress=lambda done, of: calls.append((done, of))) == []
    assert calls == [(number, 6) for number in range(1, 7)]


def test_every_fault_is_found_in_one_go(folder: Path) -> None:
    (folder / "cut.jpg").write_bytes((folder / "a3.jpg").read_bytes()[:300])
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.png")
    for name in ("copy_test.png", "copy_train.png", "copy_label.png"):
        (folder / name).write_bytes((folder / "a1.png").read_bytes())
    manifest = table(
        folder,
        *CLEAN,
        ("absent.png", "a", "train"),  # 8
        ("cut.jpg", "a", "train"),  # 9
        ("text.png", "a", "train"),  # 10
        ("empty.png", "a", "train"),  # 11
        ("pipe.png", "a", "train"),  # 12
        ("copy_test.png", "b", "test"),  # 13
        ("copy_train.png", "a", "train"),  # 14
        ("copy_label.png", "d", "train"),  # 15
        ("d1.png", "d", "test"),  # 16: class d on both sides, alone in each
        ("e1.png", "e", "train"),  # 17: alone
        ("a1.png", "a", "train"),  # 18: the same row again
    )
    boxes = np.full((len(manifest), 4), np.nan, np.float32)
    boxes[1], boxes[2] = (8, 0, 2, 2), (7, 5, 9, 9)  # outside of 8 x 6, and only partly so
    faults = check(replace(manifest, bbox=boxes))
    assert found(faults) == [
        ("missing file", 8),
        *(("unreadable image", row) for row in (9, 10, 11, 12)),
        ("box outside", 3),
        ("class on both sides", 16),
        ("duplicate across splits", 13),
        ("duplicate across classes", 15),
        *(("class of one image", row) for row in (15, 17)),
        ("query without positive", 16),
        *(("duplicate", row) for row in (14, 18)),
    ]
    assert {fault.kind for fault in faults if fault.note} == {"duplicate"}
    lines = describe_faults(faults)
    assert "unreadable images: 4" in lines and "note: exact duplicates within a split and class: 2" in lines
    assert "  row 13: copy_test.png: same file as row 2, a1.png ('train' there, 'test' here)" in lines
    assert "  row 16: d1.png: class 'd' is in test (row 16) and train (row 15)" in lines
    assert any(line.startswith("  row 8: absent.png: No such file") for line in lines)
    assert len(lines) == len(faults) + len({fault.kind for fault in faults})


def test_an_interrupt_does_not_wait_for_the_rest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def slow(path: Path) -> torch.Tensor:
        read.append(path)
        time.sleep(0.01)
        return torch.zeros(3, 6, 8, dtype=torch.uint8)

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bier.data.images.read_image", slow)
    with pytest.raises(KeyboardInterrupt):
        check(table(folder, *CLEAN * 50), workers=1, progress=stop)
    assert len(read) < 50


def test_an_empty_manifest_and_one_class_only(folder: Path) -> None:
    assert found(check(table(folder, *CLEAN).only("gallery"))) == [("empty", None)]
    assert found(check(table(folder, ("a1.png", "a", "train"), ("a2.png", "a", "train")))) == [("single class", None)]


def test_positives_follow_the_protocol(folder: Path) -> None:
    rows = (("a1.png", "a", "query"), ("b1.png", "b", "gallery"), ("c1.png", "c", "query"), ("c2.png", "c", "gallery"))
    pair = replace(table(folder, *rows), protocol="query-gallery")
    assert found(check(pair)) == [("query without positive", 2)]
    alone = table(folder, ("a1.png", "a", "test"), ("b1.png", "b", "test"), ("b2.png", "b", "test"))
    for protocol in ("self", "vehicleid-leave-one-out"):
        assert found(check(replace(alone, protocol=protocol))) == [("query without positive", 2)]  # type: ignore[arg-type]
    faults = check(replace(alone, protocol="vehicleid-draws"))
    assert found(faults) == [("gallery only", 2)] and faults[0].note


def test_query_and_gallery_may_share_classes_but_not_with_training(folder: Path) -> None:
    rows = (("a1.png", "a", "train"), ("a2.png", "a", "train"), ("b1.png", "b", "query"), ("b2.png", "b", "gallery"))
    assert check(replace(table(folder, *rows), protocol="query-gallery")) == []
    rows = (*rows, ("d1.png", "a", "gallery"))
    assert found(check(replace(table(folder, *rows), protocol="query-gallery"))) == [("class on both sides", 6)]


def test_every_kind_has_a_heading_and_lines_stay_in_order() -> None:
    faults = [Fault(kind, row, "a.png", "wrong") for kind in KINDS for row in (1, 2)]
    assert len(describe_faults(faults)) == 3 * len(KINDS) and describe_faults([]) == ["no faults"]


@pytest.mark.slow
def test_real_photographs_are_clean(photographs: Path) -> None:
    faults = check(open_source(photographs / "cub100"))
    assert [fault for fault in faults if not fault.note] == []


def test_a_table_that_training_would_refuse_is_told_all_its_faults_too(folder: Path) -> None:
    lines = [
        "image,label,split",
        "a1.png,a,train",
        "a2.png,a,trian",
        "b1.png,,train",
        "b2.png,b,query,x",
        "c1.png,c,query",
    ]
    (folder / "labels.csv").write_text("\n".join([*lines, "gone.png,d,train", "d1.png,d,train"]))
    (folder / "d1.png").write_bytes((folder / "d1.png").read_bytes()[:60])
    manifest, faults = check_source(folder / "labels.csv")
    assert sorted(manifest.row) == [2, 6, 7, 8]
    assert found(faults) == [
        ("faulty", 3),
        ("faulty", 4),
        ("faulty", 5),
        ("faulty", None),
        ("missing file", 7),
        ("unreadable image", 8),
        ("class of one image", 2),
        ("query without positive", 6),
    ]
    assert "none of split 'gallery'" in faults[3].message


def test_a_single_class_is_a_fault_and_its_pictures_are_looked_at(folder: Path) -> None:
    (folder / "labels.csv").write_text("image,label\na1.png,a\ngone.png,a\n")
    _, faults = check_source(folder / "labels.csv")
    assert [fault.kind for fault in faults] == ["faulty", "single class", "missing file"]


def test_two_boxes_in_one_photograph_are_two_pictures(folder: Path) -> None:
    rows = [("a1.png", "a", "train"), ("a1.png", "b", "train"), ("a2.png", "a", "train"), ("b1.png", "b", "train")]
    boxed = replace(table(folder, *rows), bbox=np.array([[0, 0, 4, 6], [4, 0, 4, 6], [0, 0, 8, 6], [0, 0, 8, 6]]))
    assert check(boxed) == []
    assert [fault.kind for fault in check(replace(boxed, bbox=None))] == ["duplicate across classes"]


def of_pictures(manifest: Manifest) -> list[Fault]:
    """Faults of single pictures and of what they show."""
    return [fault for fault in check(manifest) if fault.kind != "single class"]


def photograph(seed: int, width: int = 480, height: int = 360) -> Image.Image:
    """Smooth and colourful, and no two alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_copies_of_a_class_at_another_size_are_noted(tmp_path: Path) -> None:
    rows: list[Row] = []
    for label, seed in (("boots", 0), ("shoes", 100)):
        for number in range(6):
            rows.append((f"{label}{number}.jpg", label, "train"))
            photograph(seed + number).save(tmp_path / rows[-1][0])
    for number in range(4):
        rows.append((f"@eaDir{number}.jpg", "boots", "train"))
        photograph(number).resize((160, 120)).save(tmp_path / rows[-1][0], quality=60)
    notes = of_pictures(table(tmp_path, *rows))
    assert [fault.kind for fault in notes] == ["copy at another size"]
    assert notes[0].note
    assert "4 of the 10 pictures of class 'boots' are near-copies at another size" in notes[0].message
    assert "(480 x 360) and" in notes[0].message


def test_pictures_of_one_size_or_other_sights_are_no_copies(tmp_path: Path) -> None:
    rows: list[Row] = [(f"{number}.jpg", "boots", "train") for number in range(12)]
    for number, (name, _, _) in enumerate(rows[:6]):
        photograph(number).save(tmp_path / name)
    for number, (name, _, _) in enumerate(rows[6:9]):  # a burst
        photograph(number).save(tmp_path / name, quality=50)
    for number, (name, _, _) in enumerate(rows[9:]):
        photograph(50 + number, 160, 120).save(tmp_path / name)
    assert of_pictures(table(tmp_path, *rows)) == []


def test_pictures_that_show_nothing_are_noted(tmp_path: Path) -> None:
    rows: list[Row] = [(f"{number}.tif", "boots", "train") for number in range(4)]
    dim = np.random.default_rng(0).integers(0, 4096, (300, 400), dtype=np.uint16)  # 12 bits in 16
    night = np.zeros((300, 400), np.uint8)
    night[150, 201] = 255  # a single star
    for values, (name, _, _) in zip((dim, np.full((300, 400), 7, np.uint8), night, dim * 16), rows, strict=True):
        Image.fromarray(values).save(tmp_path / name)
    notes = of_pictures(table(tmp_path, *rows))
    assert found(notes) == [("blank", 2), ("blank", 3)]
    assert notes[0].message == "it is nearly black: no value is above 16 of 255"
    assert notes[1].message == "it has one colour only (7, 7, 7 of 255)"


def test_a_cell_that_is_no_path_is_shown_in_short(tmp_path: Path) -> None:
    write_pictures(tmp_path, "a.png", "b.png")
    faults = of_pictures(
        table(tmp_path, ("a.png", "a", "train"), ("b.png", "a", "train"), ("x" * 100_000, "a", "train"))
    )
    assert found(faults) == [("unreadable image", 4)]
    assert sum(map(len, describe_faults(faults))) < 600
