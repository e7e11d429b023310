"""Folders in folders: which of them are the classes, and when that is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bier.data import open_source
from bier.data.check import check_source
from bier.errors import DataError
from bier.settings.schema import DataConfig

GROCERIES = [
    *(f"Fruit/Apple/{name}" for name in ("Golden-Delicious", "Granny-Smith", "Other")),
    *(f"Fruit/Pear/{name}" for name in ("Conference", "Other")),
    *("Fruit/Banana", "Packages/Milk/Arla", "Packages/Milk/Garant", "Packages/Juice/Bravo"),
]
TOPS = ["boots", "hats", "gloves", "socks"]


def pictures(root: Path, *folders: str, each: int = 2) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(each):
            (root / folder / f"{number}.jpg").touch()
    return root


def classes(root: Path, depth: int | None = None) -> list[str]:
    return open_source(root, DataConfig(class_depth=depth, test_classes=0)).classes()


def test_departments_are_not_taken_for_classes_without_a_question(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", *GROCERIES)
    for opens in (open_source, check_source):
        with pytest.raises(DataError) as caught:
            opens(root)
        assert "data.class_depth=1: 2 classes (Fruit, Packages)" in caught.value.what
        assert "data.class_depth=2: 5 classes (Apple, Banana, Pear, ...)" in caught.value.what
        assert "data.class_depth=3: 9 classes (" in caught.value.what
        assert caught.value.remedy == "choose one, for example --set data.class_depth=3"


def test_the_answer_is_kept_to_and_equal_names_stay_two_classes(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", *GROCERIES)
    assert classes(root, 1) == ["Fruit", "Packages"]
    assert classes(root, 2) == ["Apple", "Banana", "Juice", "Milk", "Pear"]
    fine = ["Arla", "Banana", "Bravo", "Conference", "Fruit/Apple/Other", "Fruit/Pear/Other", "Garant"]
    assert set(classes(root, 3)) == {*fine, "Golden-Delicious", "Granny-Smith"}, "Banana lies less deep"
    with pytest.raises(DataError, match="the deepest lies in 3"):
        classes(root, 4)


def test_folders_of_splits_count_for_nothing(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", *(f"{split}/{folder}" for split in ("train", "test") for folder in GROCERIES))
    with pytest.raises(DataError, match="class_depth=3: 9 classes"):
        open_source(root)
    manifest = open_source(root, DataConfig(class_depth=3))
    assert len(manifest.classes()) == 9 and set(manifest.split) == {"train", "test"}
    plain = pictures(tmp_path / "plain", "train/boots", "train/hats", "test/boots", "test/hats")
    assert classes(plain) == classes(plain, 1) == ["boots", "hats"]


@pytest.mark.parametrize(
    "within",
    [
        *(["session_1", "session_2"], ["2023-05-01", "2023-05-02"], ["front", "back"], ["001", "002"], ["photos"]),
        *(["{top}_1", "{top}_2"], ["20230501_{top}", "20230502_{top}"], ["only-{top}"], ["train/good", "test/bad"]),
    ],
)
def test_sessions_within_a_class_belong_to_it_and_nobody_is_asked(tmp_path: Path, within: list[str]) -> None:
    root = pictures(tmp_path / "photos", *(f"{top}/{name.format(top=top)}" for top in TOPS for name in within))
    manifest = open_source(root)
    assert manifest.classes() == sorted(TOPS)
    assert manifest.remarks() == []


def test_folders_of_one_picture_are_no_classes(tmp_path: Path) -> None:
    root = pictures(tmp_path / "photos", *(f"{top}/{top[0]}{name}" for top in TOPS for name in "xyz"), each=1)
    assert classes(root) == sorted(TOPS)


def test_many_topmost_folders_are_the_classes_and_a_line_says_so(tmp_path: Path) -> None:
    root = pictures(tmp_path / "faces", *(f"id{person}/k{person}{clip}k" for person in range(101) for clip in "ab"))
    manifest = open_source(root)
    assert len(manifest.classes()) == 101
    [told] = manifest.remarks()
    assert told.startswith("the 101 topmost folders are the classes; with data.class_depth=2 it would be 202 classes (")


def test_faults_of_a_folder_are_named_by_path(tmp_path: Path) -> None:
    root = pictures(tmp_path / "photos", "train/boots", "train/hats", "test/boots", "test/caps")
    _, faults = check_source(root)
    assert {fault.row for fault in faults} == {None}
    [both] = [fault.message for fault in faults if fault.kind == "class on both sides"]
    assert both == "class 'boots' is in test (test/boots/0.jpg) and train (train/boots/0.jpg)"
    assert not any("row" in fault.message for fault in faults)
