"""The page in a real browser. BIER_CHROMIUM names one; BIER_SCREENSHOTS keeps the screenshots in a folder."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pages import NARROW, expect, keep, labels, order, until
from PIL import Image

from bier.search import Index

Serve = Callable[..., httpx.Client]
Open = Callable[..., Any]


def test_upload_look_learn_and_mark(serve: Serve, visit: Open, cars: list[Path], tmp_path: Path) -> None:
    client = serve(marks=tmp_path / "marks.jsonl", title="cars")
    page = visit(client)
    expect(page.locator("#status")).to_have_text("60 pictures")
    picture = cars[20]
    page.set_input_files("#files", picture)
    expect(page.locator("#heading")).to_have_text("Most alike")
    expect(page.locator("#status")).to_contain_text("48 of 60 in")
    first = page.locator("#pictures .hit").first
    expect(first.locator(".label")).to_have_text(picture.parent.name)
    expect(first.locator(".value")).to_have_text("1.00")
    seen = keep(page, "light", tmp_path)
    assert seen.mean() > 200, "light"
    assert len(np.unique(seen[600:700].reshape(-1, 3), axis=0)) > 5000, "photographs are on it"

    whole = order(page)
    page.get_by_text("Advanced").click()
    page.get_by_text("Only 1").click()
    expect(page.locator(".moved.up, .moved.down, .moved.new").first).to_be_visible()
    assert order(page) != whole
    keep(page, "learners", tmp_path)

    clicked = page.locator("#pictures .hit").nth(2)
    name = clicked.locator(".label").get_attribute("title")
    clicked.locator(".open").click()
    expect(page.locator(f'.example[title="{name}"]')).to_be_visible()
    expect(page.locator(f'#pictures [title="{name}"]')).to_have_count(0)
    expect(page.locator("#pictures .good").first).to_be_hidden()
    page.get_by_label("Buttons to mark and refine").check()
    good, bad = (page.locator("#pictures .hit").nth(n) for n in (0, 1))
    pairs = [
        (name, hit.locator(".label").get_attribute("title"), verdict) for hit, verdict in ((good, "good"), (bad, "bad"))
    ]
    good.locator(".good").click()
    expect(page.locator("#status")).to_contain_text("marked as good, saved")
    bad.locator(".bad").click()
    expect(bad.locator(".bad")).to_have_attribute("aria-pressed", "true")
    keep(page, "marked", tmp_path)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download marked pairs").click()
    with open(download.value.path(), newline="") as file:
        assert [(row["query"], row["result"], row["verdict"]) for row in csv.DictReader(file)] == pairs

    page.locator("#pictures .hit").nth(4).locator(".less").click()
    expect(page.locator(".example.unlike")).to_be_visible()
    page.go_back()
    expect(page.locator(".example.unlike")).to_have_count(0)
    page.locator("#filter-value").fill(cars[0].parent.name)
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_text(f"label “{cars[0].parent.name}”")
    until(page, "document.querySelectorAll('#pictures .hit').length <= 6")
    assert set(labels(page)) == {cars[0].parent.name}
    page.get_by_role("button", name="All pictures").click()
    expect(page.locator("#heading")).to_have_text(f"Pictures with label “{cars[0].parent.name}”")


def test_the_keyboard_alone(serve: Serve, visit: Open, tmp_path: Path) -> None:
    page = visit(serve(marks=tmp_path / "marks.jsonl"))
    expect(page.locator("#pictures .hit img").first).to_be_visible()
    page.locator("#pictures .open").first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    columns = page.evaluate(
        "getComputedStyle(document.getElementById('pictures')).gridTemplateColumns.split(' ').length"
    )
    focused = page.locator("#pictures .hit:focus-within")
    assert focused.get_attribute("aria-posinset") == str(columns + 1)
    name = focused.locator(".label").get_attribute("title")
    page.keyboard.press("l")
    expect(page.locator("#look")).to_be_visible()
    keep(page, "look", tmp_path)
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator(f'.example[title="{name}"]')).to_be_visible()
    expect(page.locator(f'#pictures [title="{name}"]')).to_have_count(0)
    expect(page.locator("#pictures .hit").first.locator(".open")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("g")
    expect(page.locator("#pictures .hit").nth(1).locator(".good")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("2")
    expect(page.get_by_label("Only 2")).to_be_checked()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    keep(page, "help", tmp_path)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#heading")).to_have_text("All pictures")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select')].filter(e => !e.hidden && !e.closest('[hidden]')"
        " && !(e.getAttribute('aria-label') || e.innerText || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert unnamed == [], "a screen reader needs a name for each"


def test_a_picture_given_before_the_server_has_answered_is_searched(
    serve: Serve, visit: Open, cars: list[Path]
) -> None:
    page = visit(serve())
    held: list[Any] = []
    page.route("**/api/info", lambda route: held.append(route))
    with page.expect_request("**/api/info"):
        page.reload(wait_until="domcontentloaded")
    page.set_input_files("#files", cars[0])
    expect(page.locator("#status")).to_have_text("Opening …")
    held[0].continue_()
    expect(page.locator(".example")).to_have_count(1)
    expect(page.locator("#pictures .value").first).to_be_visible()


@pytest.mark.slow
def test_dark_and_narrow(serve: Serve, visit: Open, cars: list[Path], tmp_path: Path) -> None:
    client = serve(marks=tmp_path / "marks.jsonl")
    dark = visit(client, color_scheme="dark")
    dark.set_input_files("#files", [cars[0], cars[1]])
    expect(dark.locator(".example")).to_have_count(2)
    expect(dark.locator("#pictures .value").first).to_be_visible()
    assert keep(dark, "dark", tmp_path).mean() < 90
    narrow = visit(client, viewport=NARROW, is_mobile=True, has_touch=True, device_scale_factor=2)
    expect(narrow.get_by_role("button", name="Take a photo")).to_be_visible()
    assert narrow.locator("#camera").get_attribute("capture") == "environment"
    keep(narrow, "narrow-all", tmp_path)
    narrow.locator("#pictures .open").nth(3).tap()
    expect(narrow.locator("#pictures .value").first).to_be_visible()
    keep(narrow, "narrow", tmp_path)
    assert narrow.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_errors_and_emptiness_are_said(
    serve: Serve, visit: Open, fill: Callable[..., Index], cars: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "words.jpg").write_text("just some words")
    page = visit(serve())
    expect(page.locator("#pictures .hit img").first).to_be_visible()
    page.set_input_files("#files", tmp_path / "words.jpg")
    expect(page.get_by_role("alert")).to_contain_text("words.jpg: not a picture")
    keep(page, "error", tmp_path)
    page.locator("#filter-value").fill("no such label")
    page.keyboard.press("Enter")
    expect(page.locator("#filter-list")).to_have_text("No label has “no such label” in it.")
    page.goto(f"{page.url}#is:label=gone")
    page.reload()
    expect(page.locator("#empty")).to_contain_text("No picture has label “gone”.")
    lost = tmp_path / "lost.jpg"
    lost.write_bytes(cars[0].read_bytes())
    index = fill(tmp_path / "index", [lost])
    lost.unlink()
    page = visit(serve(index=index))
    expect(page.locator(".lost")).to_have_text("picture missing")


DRAG = """([kinds, target]) => {
  const data = new DataTransfer();
  for (const [type, text] of kinds) data.setData(type, text);
  const fire = (kind, name, options) => {
    const event = new kind(name, { bubbles: true, cancelable: true, ...options });
    document.querySelector(target).dispatchEvent(event);
    return event.defaultPrevented;
  };
  return [fire(DragEvent, "dragover", { dataTransfer: data }), fire(DragEvent, "drop", { dataTransfer: data }),
    fire(ClipboardEvent, "paste", { clipboardData: data })];
}"""


def test_an_address_is_no_picture(serve: Serve, visit: Open) -> None:
    """A picture dragged from another tab comes as its address; left to the browser, it leads away."""
    client = serve()
    page = visit(client)
    expect(page.locator("#pictures .hit img").first).to_be_visible()
    address = ["text/uri-list", "https://example.org/boot.jpg"]
    for kinds in ([address, ["text/html", "<img src='https://example.org/boot.jpg'>"]], [["text/plain", "boot"]], []):
        prevented = page.evaluate(DRAG, [kinds, "body"])
        assert prevented[:2] == [True, True], kinds
        expect(page.get_by_role("alert")).to_contain_text("Save the picture first")
    page = visit(client)
    expect(page.locator("#pictures .hit img").first).to_be_visible()
    assert page.evaluate(DRAG, [[address], "#filter-value"]) == [False, False, False], "a field for text takes text"
    expect(page.get_by_role("alert")).to_be_hidden()


def test_pasting_an_address_says_a_word(serve: Serve, visit: Open) -> None:
    page = visit(serve())
    expect(page.locator("#pictures .hit img").first).to_be_visible()
    page.evaluate(
        "const data = new DataTransfer(); data.setData('text/plain', 'https://example.org/boot.jpg');"
        "document.body.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, clipboardData: data }))"
    )
    expect(page.get_by_role("alert")).to_contain_text("not a picture")


def test_of_too_many_pictures_the_first_are_taken(serve: Serve, visit: Open, cars: list[Path]) -> None:
    page = visit(serve())
    page.set_input_files("#files", cars[:11])
    expect(page.locator(".example")).to_have_count(8)
    expect(page.locator("#pictures .value").first).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("the first 8 of 11")


def test_an_unreadable_picture_spoils_no_other(serve: Serve, visit: Open, cars: list[Path], tmp_path: Path) -> None:
    (tmp_path / "words.jpg").write_text("just some words")
    page = visit(serve())
    page.set_input_files("#files", [cars[0], tmp_path / "words.jpg", cars[1]])
    expect(page.locator(".example")).to_have_count(2)
    expect(page.locator("#pictures .value").first).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("words.jpg: not a picture")
    expect(page.get_by_role("alert")).to_contain_text("The others are used.")
    page.locator("#pictures .open").first.click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_picture_that_the_browser_cannot_show_is_searched(
    serve: Serve, visit: Open, cars: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    Image.open(cars[0]).convert("RGB").save(tmp_path / "phone.heic")
    page = visit(serve())
    assert ".heic" in page.locator("#files").get_attribute("accept")
    page.set_input_files("#files", tmp_path / "phone.heic")
    expect(page.locator(".example .lost")).to_have_text("no preview")
    expect(page.locator(".example img")).to_have_count(0)
    expect(page.locator("#pictures .label").first).to_have_text(cars[0].parent.name)


def test_the_page_asks_for_the_token(serve: Serve, visit: Open, tmp_path: Path) -> None:
    page = visit(serve(token="sesame"))
    for attempt in ("wrong", "sesame"):
        expect(page.locator("#token")).to_be_visible()
        keep(page, "token", tmp_path)
        page.locator("#token-value").fill(attempt)
        page.keyboard.press("Enter")
        page.wait_for_timeout(200)
    expect(page.locator("#status")).to_have_text("60 pictures")
    expect(page.locator("#pictures .hit img").first).to_be_visible()


@pytest.mark.slow
def test_of_ten_thousand_pictures_a_hundred_are_elements(
    serve: Serve, visit: Open, fill: Callable[..., Index], cars: list[Path], tmp_path: Path
) -> None:
    index = fill(tmp_path / "index", cars[:50], copies=200)
    page = visit(serve(index=index))
    expect(page.locator("#status")).to_have_text("10,000 pictures")
    for share in (0.2, 0.5, 0.9, 0.4):
        page.evaluate(f"scrollTo({{top: {share} * document.body.scrollHeight, behavior: 'instant'}})")
        page.wait_for_timeout(100)
        assert page.locator("#pictures .hit").count() < 120
    page.locator("#pictures .open").first.focus()
    page.keyboard.press("End")
    expect(page.locator("#pictures .hit:focus-within")).to_have_attribute("aria-posinset", "10000")
    expect(page.locator("#pictures .hit:focus-within img")).to_be_visible()
    assert page.locator("#pictures .hit").count() < 120
