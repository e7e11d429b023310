"""The map of a run's test pictures in the report; in a real browser as well. BIER_SCREENSHOTS keeps screenshots."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bier.errors import DataError
from bier.records.folder import RunFolder
from bier.records.pictures import Picture
from bier.records.run_map import RunMap
from bier.report import write_report

CREATED = "2026-11-26T14:03:21Z"
WriteRun = Callable[..., Path]


def run_map(pictures: list[tuple[Path, str]], **changes: Any) -> RunMap:
    shown = tuple(Picture(image=str(path), label=label) for path, label in pictures)
    ids = tuple(f"{path.parent.name}/{path.name}" for path, _ in pictures)
    places = tuple(float(number) for number in range(len(pictures)))
    right = tuple(number != 3 for number in range(len(pictures)))
    told: dict[str, Any] = {"created": CREATED, "of": len(pictures), "pictures": shown, "ids": ids, "x": places}
    return RunMap(**{**told, "y": places, "right": right, **changes})


def test_the_map_is_on_the_page_and_only_its_own_script_may_run(write_run, report, pictures):
    run = write_run()
    run_map([*pictures[:-1], (pictures[-1][0], "</script><b>")]).save(run)
    page = report(run)
    policy = next(tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    [script] = re.findall(r'<script type="module">(.*?)</script>', page.html, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    [text] = re.findall(r'<script type="application/json" class="map-data">(.*?)</script>', page.html, flags=re.S)
    data = json.loads(text)
    assert data["labels"][-1] == "</script><b>"
    assert data["places"]["0"][3:] == [60, 40], "small pictures stay as they are"
    assert len(data["sheets"]) == 1
    assert "12 test pictures. The nearer two lie" in page.text
    assert "#run-0-map" in [link["href"] for link in page.all("a")]


def test_small_pictures_are_bounded_and_that_is_said(write_run, report, pictures, monkeypatch):
    monkeypatch.setattr("bier.report.page.PICTURES", 5)
    run = write_run()
    run_map(pictures, of=70_000).save(run)
    page = report(run)
    assert "12 test pictures, drawn at random from 70,000" in page.text
    assert "5 of them show their picture" in page.text
    [text] = re.findall(r'class="map-data">(.*?)</script>', page.html, flags=re.S)
    assert len(json.loads(text)["places"]) == 5


def test_a_picture_that_is_gone_stays_a_point(write_run, report, pictures):
    run = write_run()
    run_map([*pictures[:-1], (Path("gone.jpg"), "gone")]).save(run)
    [text] = re.findall(r'class="map-data">(.*?)</script>', report(run).html, flags=re.S)
    assert json.loads(text)["places"]["11"] is None


def test_a_map_of_other_figures_is_left_out_and_that_is_said(write_run, report, pictures):
    run = write_run()
    run_map(pictures, created="2026-11-25T09:00:00Z").save(run)
    page = report(run)
    assert "The map in this run’s folder is of an earlier evaluation" in page.text
    assert page.all("script") == []


def test_a_broken_map_is_named(write_run, report, pictures):
    run = write_run()
    run_map(pictures, x=(0.0,)).save(run)
    with pytest.raises(DataError, match=r"map\.json: its columns differ in length"):
        report(run)
    RunFolder(run).map.write_text("{")
    with pytest.raises(DataError, match=r"map\.json:1: broken JSON"):
        report(run)


@pytest.mark.slow
def test_points_are_seen_chosen_and_saved_in_a_browser(browser, write_run, pictures, tmp_path):
    run = write_run()
    run_map(pictures).save(run)
    file = write_report([run], tmp_path / "report.html")
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    page.locator(".map").scroll_into_view_if_needed()
    page.get_by_label("Colour by").select_option("right")
    page.locator(".map-legend").get_by_text("of another label").wait_for()
    canvas = page.locator(".map-frame > canvas")
    box = canvas.bounding_box()
    x, y = page.evaluate("document.querySelector('.map').map.place(3)")
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.locator(".map-card").get_by_text("class_0/0003.jpg").wait_for()
    page.locator(".map-card").get_by_text("nearest neighbour: of another label").wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate(
        "document.querySelector('.map').map.shown.getContext('2d').getImageData(160, 160, 1, 1).data[3]"
    )
    if os.environ.get("BIER_SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["BIER_SCREENSHOTS"]) / "report-map.png")
    page.get_by_role("button", name="Select all pictures in view").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "bier-ids.txt"
    assert len(Path(download.value.path()).read_text().split()) == 12
    page.close()
    assert complaints == []
