"""The page to label pictures on: what it holds, and ten pictures labelled in a real browser with the keyboard alone."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from folders import drawn
from pages import expect

from bier.records.pictures import Picture
from bier.report.labelling import write_labelling

TITLES = {"001": "Arctic Tern", "002": "Black Tern", "bunting": "bunting", "wren": "wren"}


@dataclass(frozen=True)
class Proposed:
    image: str
    suggested: tuple[str, ...]
    reason: str = "between Arctic Tern and wren"


def write(pictures: list[Path], out: Path, suggested: tuple[str, ...] = ("001", "wren"), **options: Any) -> int:
    proposals = [Proposed(str(picture), suggested) for picture in pictures]
    given = {"run": "first", "catalogue": "new-photos", "titles": TITLES, "examples": {}, "cropped": False}
    return write_labelling(proposals, out, **{**given, **options})


def test_the_page_holds_all_and_runs_its_own_script_alone(tmp_path: Path) -> None:
    pictures = [*drawn(tmp_path / "</script>", 2), tmp_path / "gone.png"]
    example = {"wren": Picture(image=str(pictures[0]), label="wren")}
    assert write(pictures, tmp_path / "page.html", examples=example) == 3
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S)
    content = json.loads(scripts[0][1])
    assert [picture["image"] for picture in content["pictures"]] == [str(picture) for picture in pictures]
    assert content["pictures"][0]["shown"].startswith("data:image/jpeg") and content["pictures"][2]["shown"] is None
    assert content["examples"]["wren"].startswith("data:image/jpeg")
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in page
    assert len(scripts) == 2 and "http" not in page.replace("http-equiv", "")


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Any:
    """Opens the page of some pictures; errors in its console fail the test."""
    errors: list[str] = []

    def open_page(**options: Any) -> Any:
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 860}, **options})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto((tmp_path / "page.html").as_uri())
        return page

    yield open_page
    assert errors == []


def downloaded(page: Any) -> list[tuple[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download labels.csv").click()
    assert download.value.suggested_filename == "labels.csv"
    with open(download.value.path(), newline="", encoding="utf-8") as file:
        return [(row["image"], row["label"]) for row in csv.DictReader(file)]


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.slow
def test_ten_pictures_are_labelled_with_the_keyboard_alone(visit: Any, tmp_path: Path) -> None:
    pictures = drawn(tmp_path / "new", 11, "{}, a.png")  # a comma, for the table
    write(pictures, tmp_path / "page.html")
    page = visit()
    standing = page.locator("#standing")
    expect(standing).to_have_text("0 of 11 labelled")
    expect(page.locator("#picture")).to_be_visible()
    press(page, "1", "2")  # 1: a tern, 2: a wren
    page.keyboard.type("bl")  # begins to type where nothing is focused
    expect(page.locator("#known li")).to_have_text(["Black Tern (002)"])
    press(page, "Tab", "Enter")  # 3
    page.keyboard.type("Owl, barn")
    press(page, "Enter")  # 4: a new label
    expect(page.locator("#suggested li")).to_have_count(4)  # the last ones that are not suggested join
    press(page, "4", "3")  # 5: the owl again, 6: the black tern, in the order of their first use
    press(page, "Backspace", "ArrowLeft")
    expect(page.locator("#given")).to_have_text("Label: Owl, barn")
    press(page, "ArrowRight")
    page.keyboard.type("N")
    press(page, "ArrowDown", "ArrowDown", "Enter")  # 6: the second completion
    press(page, "Space")  # 7 is skipped
    for _ in range(3):
        press(page, "2")  # 8, 9, 10
    page.reload()  # nothing is lost
    expect(standing).to_have_text("9 of 11 labelled")
    press(page, "/")
    page.keyboard.type("47")
    press(page, "Enter")  # 11: a label that begins with a digit
    expect(page.locator("#given")).to_have_text("That was the last picture.")
    expect(standing).to_have_text("10 of 11 labelled")
    rows = downloaded(page)
    assert [image for image, _ in rows] == [str(picture) for picture in (*pictures[:6], *pictures[7:])]
    given = [label for _, label in rows]
    assert given[:5] == ["001", "wren", "002", "Owl, barn", "Owl, barn"] and given[6:] == ["wren"] * 3 + ["47"]
    assert given[5] in TITLES or given[5] == "Owl, barn"
    press(page, "Control+z")
    expect(page.locator("#given")).to_have_text("Which label?")
    expect(standing).to_have_text("9 of 11 labelled")
