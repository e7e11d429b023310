"""``bier data next`` and ``bier data join`` on a small run: from pictures without labels to a training."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import run
from folders import some_birds
from pages import NARROW, expect, keep
from tiny_runs import TINY

import bier
from bier.data import open_source

pytestmark = pytest.mark.slow
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def world(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on six classes of birds; new pictures of these and of two others, side by side, one of them broken."""
    folder = tmp_path_factory.mktemp("world")
    birds = some_birds(photographs, folder / "all", classes=8, images=9)
    for place, label in enumerate(sorted(birds.iterdir())):
        for number, picture in enumerate(sorted(label.iterdir())):
            new = place >= 6 or number >= 5
            target = (
                folder / "new" / f"{label.name}-{picture.name}" if new else folder / "birds" / label.name / picture.name
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, target)
    (folder / "new" / "broken.jpg").write_bytes(b"no picture")
    settings = {**TINY, "optimizer": {"epochs": 1}, "data.test_classes": 0.34, "data.classes_per_batch": 2}
    bier.train(str(folder / "birds"), settings, folder / "run")
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def test_proposals_are_printed_and_written(world: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.copy(sorted((world / "new").glob("*-*"))[0], world / "new" / "copy-of-the-first.jpg")
    code, out, error = run(
        capsys, "data", "next", world / "run", world / "new", "--count", 12, "-o", tmp_path / "next.csv"
    )
    (world / "new" / "copy-of-the-first.jpg").unlink()
    assert code == 0, error
    assert "12 of 43 pictures without labels to label next" in out and "left out: " in out and "broken.jpg" in out
    found = rows(tmp_path / "next.csv")
    assert list(found[0]) == ["image", "suggested", "second", "margin", "confidence", "known", "like_it", "reason"]
    images = [row["image"] for row in found]
    classes = {folder.name for folder in (world / "birds").iterdir()}
    assert len(set(images)) == 12 and all(Path(image).is_file() for image in images)
    assert {row["suggested"] for row in found} <= classes and all(row["reason"] for row in found)
    assert all(0 <= float(row["margin"]) <= 2 and int(row["like_it"]) >= 1 for row in found)


def test_a_count_larger_than_the_catalogue_is_told_and_copies_are_left_out(
    world: Path, tmp_path: Path, capsys: Capture
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    first, second = sorted((world / "new").glob("*-*"))[:2]
    for picture, name in (
        (first, "1.jpg"),
        (second, "2.jpg"),
        (second, "3.jpg"),
        (next((world / "birds").rglob("*.jpg")), "4.jpg"),
    ):
        shutil.copy(picture, few / name)
    code, out, _ = run(capsys, "data", "next", world / "run", few, "-o", tmp_path / "next.csv")
    assert code == 0 and "there are only 4 pictures without a label" in out and "2 copies of other pictures" in out
    assert {Path(row["image"]).name for row in rows(tmp_path / "next.csv")} == {"1.jpg", "2.jpg"}


def test_labels_of_the_catalogue_are_passed_over(world: Path, tmp_path: Path, capsys: Capture) -> None:
    pictures = sorted((world / "new").glob("*-*"))
    table = tmp_path / "catalogue.csv"
    labels = ["", "?", "Unknown", "7", "owl"]
    table.write_text(
        "\n".join(["image,label", *(f"{picture},{label}" for picture, label in zip(pictures, labels, strict=False))])
    )
    code, out, _ = run(capsys, "data", "next", world / "run", table, "--count", 3)
    assert code == 0 and "3 of 3 pictures without labels" in out and "2 pictures with labels, such as '7'" in out
    assert "mixed kinds: known ones are words" in out and "numbers such as '7'" in out


@pytest.mark.parametrize("option", [(), ("--all",)])
def test_nothing_left_to_label_is_told(world: Path, capsys: Capture, option: tuple[str, ...]) -> None:
    code, _, error = run(capsys, "data", "next", world / "run", world / "birds", *option)
    assert code == 2 and "no picture is left to label: there are 30 pictures of the run itself" in error
    code, out, error = run(capsys, "data", "next", world / "run", world / "all", "--count", 4, *option)
    if option:
        assert code == 0 and "4 of 72 pictures without labels" in out
    else:
        assert code == 2 and "72 pictures with labels" in error and "--all" in error


def test_other_bad_input(world: Path, tmp_path: Path, capsys: Capture) -> None:
    code, _, error = run(capsys, "data", "next", world / "run")
    assert code == 2 and "no catalogue given" in error
    code, _, error = run(capsys, "data", "next", world / "birds", world / "new")
    assert code == 2 and "is not the folder of a run" in error
    code, _, error = run(capsys, "data", "join", world / "run", "-o", tmp_path / "all.csv")
    assert code == 2 and "no table of labels given" in error
    (tmp_path / "empty.csv").write_text("image\n")
    code, _, error = run(capsys, "data", "next", world / "run", tmp_path / "empty.csv")
    assert code == 2 and "there are no pictures" in error
    (world / "birds").rename(world / "away")
    try:
        code, _, error = run(capsys, "data", "next", world / "run", world / "new")
        assert code == 2 and "no longer there" in error and "bier data next" in error and "--source PICTURES" in error
        code, out, error = run(
            capsys, "data", "next", world / "run", world / "new", "--source", world / "away", "--count", 2
        )
        assert code == 0 and "2 of 42" in out, error
    finally:
        (world / "away").rename(world / "birds")


def test_ten_pictures_labelled_with_the_keyboard_are_trained_on(
    world: Path, tmp_path: Path, capsys: Capture, browser: Any
) -> None:
    next_page, table, every = tmp_path / "next.html", tmp_path / "downloads" / "labels.csv", tmp_path / "all.csv"
    run(
        capsys,
        "data",
        "next",
        world / "run",
        world / "new",
        "--count",
        10,
        "--html",
        next_page,
        "-o",
        tmp_path / "next.csv",
    )
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.goto(next_page.as_uri())
    given = []
    for number, row in enumerate(rows(tmp_path / "next.csv")):
        expect(page.locator("#place")).to_contain_text(f"{number + 1} of 10")
        label = Path(row["image"]).name.rpartition("-")[0]
        given.append((row["image"], label))
        page.keyboard.type(label)
        page.keyboard.press("Enter")
        if number == 5:
            keep(page, "labelling", tmp_path)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download labels.csv").click()
    download.value.save_as(table)
    page.close()
    assert [(row["image"], row["label"]) for row in rows(table)] == given
    code, out, error = run(capsys, "data", "join", world / "run", table, "-o", every)
    assert code == 0, error
    new = len({label for _, label in given} - {folder.name for folder in (world / "birds").iterdir()})
    classes = "1 new class" if new == 1 else f"{new} new classes"
    assert f"10 new pictures, {classes}, 0 changed labels; 40 pictures in {every}" in out
    assert len(open_source(every)) == 40
    small = [
        part
        for key, value in {
            "image.size": 32,
            "optimizer.epochs": 1,
            "data.workers": 0,
            "hardware.threads": 1,
            "model.backbone": "test_resnet",
            "model.weights": "none",
            "data.validation_classes": 0,
            "model.sizes": "[8,16]",
            "diversity.hidden": 16,
        }.items()
        for part in ("--set", f"{key}={value}")
    ]
    code, _, error = run(capsys, "train", every, "--out", tmp_path / "second", *small)
    assert code == 0, error
    code, out, error = run(capsys, "data", "next", tmp_path / "second", world / "new", "--count", 2)
    assert code == 0 and "passed over: 10 pictures of the run itself" in out, error


@pytest.mark.parametrize("look", ["wide", "phone", "dark"])
def test_the_page_fits(world: Path, tmp_path: Path, capsys: Capture, browser: Any, look: str) -> None:
    run(capsys, "data", "next", world / "run", world / "new", "--count", 6, "--html", tmp_path / "next.html")
    size = NARROW if look == "phone" else {"width": 1280, "height": 860}
    page = browser.new_page(viewport=size, color_scheme="dark" if look == "dark" else "light")
    page.goto((tmp_path / "next.html").as_uri())
    for key in ("1", "2"):
        page.keyboard.press(key)
    page.keyboard.type("Owl")
    page.keyboard.press("Enter")
    expect(page.locator("#standing")).to_have_text("3 of 6 labelled")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    seen = keep(page, f"labelling-{look}", tmp_path)
    assert (seen.mean() < 90) == (look == "dark")
    page.close()
