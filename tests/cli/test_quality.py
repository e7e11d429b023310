"""``bier data suspects`` and near-copies on a small run, and what bad input gets."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from folders import some_birds
from PIL import Image
from tiny_runs import TINY

import bier
from bier.cli.commands import run

LEARNED = {**TINY, "optimizer": {"epochs": 1}, "data.validation_classes": 0.0, "data.test_classes": 0.0}


@pytest.fixture(scope="module")
def world(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of birds, and a run that was trained on it."""
    folder = tmp_path_factory.mktemp("world")
    some_birds(photographs, folder / "birds", classes=4, images=5)
    bier.train(str(folder / "birds"), {**LEARNED, "model.refit": False}, folder / "run")
    return folder


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code, and everything that was said."""
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), " ".join((said.out + said.err).split())


@pytest.mark.slow
def test_suspects_are_printed_and_written(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, table = tmp_path / "page.html", tmp_path / "suspects.csv"
    code, said = told(["data", "suspects", str(world / "run"), "--html", str(page), "-o", str(table)], capsys)
    assert code == 0 and "of 20 training pictures may have a wrong label" in said
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert rows and list(rows[0]) == ["image", "label", "better", "suspicion", "neighbours"]
    suspicion = [float(row["suspicion"]) for row in rows]
    assert suspicion == sorted(suspicion, reverse=True) and suspicion[-1] >= 0
    first = rows[0]
    assert first["label"] != first["better"] and (world / "birds" / first["image"]).is_file()
    assert all(first["better"] in name for name in first["neighbours"].split("|"))
    shown = page.read_text(encoding="utf-8")
    assert shown.count('<li class="query">') == len(rows) and "data:image/jpeg" in shown and "missing" not in shown


@pytest.mark.slow
def test_pictures_that_moved_are_asked_for_and_taken(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "birds", tmp_path / "moved")
    (world / "birds").rename(world / "away")
    try:
        code, said = told(["data", "suspects", str(world / "run")], capsys)
    finally:
        (world / "away").rename(world / "birds")
    assert code == 2 and "no longer there" in said and "--source PICTURES" in said
    code, said = told(["data", "suspects", str(world / "run"), "--source", str(tmp_path / "moved")], capsys)
    assert code == 0 and "of 20 training pictures" in said


@pytest.mark.slow
def test_no_training_pictures_and_one_class_are_told(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next((world / "birds").rglob("*.jpg"))
    for split, message in (("test", "there are no training pictures"), ("train", "all training pictures are of class")):
        table = tmp_path / f"{split}.csv"
        rows = [f"{picture},a,{split}"] * 2 + [f"{picture},b,test"] * 2
        table.write_text("\n".join(["image,label,split", *rows]), encoding="utf-8")
        code, said = told(["data", "suspects", str(world / "run"), "--source", str(table)], capsys)
        assert code == 2 and message in said and "→" in said
    code, said = told(["data", "suspects", str(world / "birds")], capsys)
    assert code == 2 and "is not the folder of a run" in said


def planted(folder: Path) -> dict[str, Path]:
    """A crop and a mirrored copy of two pictures, and the pictures they were made of."""
    first, second = sorted(folder.rglob("*.jpg"))[:2]
    with Image.open(first) as image:
        width, height = image.size
        image.crop((width // 10, height // 10, width, height)).save(first.with_name("cropped.jpg"))
    with Image.open(second) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(second.with_name("mirrored.jpg"), quality=70)
    return {"cropped": first, "mirrored": second}


@pytest.mark.slow
def test_near_copies_of_a_source_are_told_and_listed(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    birds = shutil.copytree(world / "birds", tmp_path / "birds")
    made = planted(birds)
    page, ids = tmp_path / "page.html", tmp_path / "ids.txt"
    small = ["--set", "image.size=64", "--set", "hardware.threads=1", "--set", "data.workers=0"]
    code, said = told(["data", "check", str(birds), "--near", "--html", str(page), "--ids", str(ids), *small], capsys)
    assert code == 0 and "near-copies within a split and class: 2" in said
    listed = ids.read_text(encoding="utf-8").splitlines()
    assert len(listed) == 2 and f"{made['cropped'].parent.name}/cropped.jpg" in listed
    assert page.read_text(encoding="utf-8").count('<div class="pair">') == 2


@pytest.mark.slow
def test_a_list_of_copies_is_removed_from_an_index(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    birds, index, ids = shutil.copytree(world / "birds", tmp_path / "birds"), str(tmp_path / "index"), tmp_path / "ids"
    planted(birds)
    assert told(["index", str(birds), "-o", index, "--model", str(world / "run"), "--engine", "exact"], capsys)[0] == 0
    code, said = told(["duplicates", index, "--look", "--ids", str(ids), "--html", str(tmp_path / "page")], capsys)
    assert code == 0 and "2 groups, 2 pictures more than needed" in said
    assert "2 removed, 20 left" in told(["index", "remove", index, "--ids", str(ids)], capsys)[1]
    code, said = told(["index", "remove", index, "--ids", str(tmp_path / "none.txt")], capsys)
    assert code == 2 and "cannot be read" in said


def test_what_belongs_to_near_copies_is_refused_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = told(["data", "check", "birds", "--ids", "x"], capsys)
    assert code == 2 and "add --near" in said
