"""The map: what the API tells of it, and the page in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import httpx
import numpy as np
import pytest
from pages import NARROW, expect, keep, until

from bier.search import Index, IndexInfo, create_index
from bier.search.base import vector_mark
from bier.search.map_file import IndexMap, write_map
from bier.vectors.encoder import Encoder

Serve = Callable[..., httpx.Client]
Open = Callable[..., Any]
Fill = Callable[..., Index]
MAP = "document.getElementById('map').map"
FIELDS = {"price": "decimal", "sold": "yes/no", "taken": "date"}


def mapped(folder: Path, cars: list[Path], encoder: Encoder, count: int, groups: int = 20) -> Index:
    """An index of drawn vectors, whose map has groups on a ring; `price` and label are the group."""
    info = IndexInfo(
        encoder.fingerprint, encoder.sizes, encoder.scales, fields=("image", "label", *FIELDS), types=dict(FIELDS)
    )
    index, random = create_index(folder, info, "exact"), np.random.default_rng(0)
    parts = [random.normal(size=(count, size)) for size in info.sizes]
    units = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    scaled = [scale * unit for scale, unit in zip(info.scales, units, strict=True)]
    vectors = np.concatenate(scaled, 1).astype(np.float32)
    group = np.arange(count) * groups // count
    angle = 2 * np.pi * group / groups
    places = np.stack([100 * np.cos(angle), 50 * np.sin(angle)], 1) + random.uniform(-2, 2, size=(count, 2))
    ids = [f"{number:05d}.jpg" for number in range(count)]
    pictures = [cars[number % len(cars)] for number in range(count)]
    index.add(
        ids,
        vectors,
        [
            {
                "image": str(picture),
                "label": f"kind {place}",
                "price": None if place == 0 else float(place),
                "sold": bool(place % 2),
                "taken": f"20{place:02d}-05-31",
            }
            for picture, place in zip(pictures, group.tolist(), strict=True)
        ],
    )
    x, y = places.round(3).T.tolist()
    write_map(index.folder, info, IndexMap(count, ids, x, y, list(map(vector_mark, vectors))))
    return index


def test_the_map_is_told_with_the_values_of_its_points(
    serve: Serve, cars: list[Path], encoder: Encoder, tmp_path: Path
) -> None:
    client = serve()
    assert client.get("/api/map").status_code == 404
    assert client.get("/api/map").json()["remedy"] == "draw one: bier index map INDEX"
    index = mapped(tmp_path / "index", cars, encoder, 40)
    client = serve(index=index)
    told = client.get("/api/map").json()
    assert (len(told["ids"]), told["drawn_from"], told["gone"], told["changed"], told["new"]) == (40, 40, 0, 0, 0)
    values = client.get("/api/map/values", params={"field": "price"}).json()
    assert values["version"] == told["version"]
    assert values["values"] == [None, None, *(float(place // 2) for place in range(2, 40))]
    assert client.get("/api/map/values", params={"field": "weight"}).status_code == 422
    index.delete(told["ids"][:2])
    again = client.get("/api/map").json()
    assert (again["gone"], again["here"][:3]) == (2, [False, False, True])
    (index.folder / "map.json").write_text("{}")
    refused = client.get("/api/map")
    assert (refused.status_code, "map" in refused.json()["error"]) == (503, True)
    pages = [client.get(path) for path in ("/map", "/map.js", "/map.css", "/map-page.js")]
    assert [page.status_code for page in pages] == [200] * 4


def opened(page: Any) -> Any:
    """The canvas of a page, once it is drawn."""
    expect(page.locator("#map .map-legend li").first).to_be_visible()
    return page.locator(".map-frame > canvas")


def corner(canvas: Any) -> np.ndarray:
    box = canvas.bounding_box()
    return np.array([box["x"], box["y"]])


def place(page: Any, point: int) -> np.ndarray:
    return np.array(page.evaluate(f"{MAP}.place({point})"))


@pytest.mark.slow
def test_ten_thousand_points_pan_zoom_and_tell_what_they_are(
    serve: Serve,
    visit: Open,
    cars: list[Path],
    encoder: Encoder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    index = mapped(tmp_path / "index", cars, encoder, 10_000)
    page = visit(serve(index=index, title="cars"), "/map")
    canvas = opened(page)
    expect(page.locator("#status")).to_contain_text("10,000 pictures")
    expect(page.locator("#map .note").first).to_contain_text("20 categories: the 10 largest")
    keep(page, "map-wide", tmp_path)
    where, before, far = corner(canvas), place(page, 0), place(page, 9_999)

    # pan, and how long a frame takes
    page.evaluate(
        f"""() => {{
          const map = {MAP}, paint = map.paint.bind(map);
          window.frames = [];
          map.paint = () => {{ const began = performance.now(); paint(); frames.push(performance.now() - began); }};
        }}"""
    )
    start = where + np.array([600, 60])
    page.mouse.move(*start)
    page.mouse.down()
    for step in range(1, 41):
        page.mouse.move(*(start + step * np.array([-3, 1])))
    page.mouse.up()
    np.testing.assert_allclose(place(page, 0) - before, [-120, 40], atol=0.5)
    page.wait_for_timeout(200)
    frames = page.evaluate("[...frames].sort((one, other) => one - other)")
    assert len(frames) > 5
    record_property(
        "tried",
        f"panning 10,000 points: {len(frames)} frames, median {frames[len(frames) // 2]:.1f} ms, "
        f"95 % below {frames[len(frames) * 95 // 100]:.1f} ms",
    )

    # zoom about the pointer
    point = place(page, 0)
    page.mouse.move(*(where + point))
    page.mouse.wheel(0, -800)
    until(page, f"{MAP}.view.zoomed > 3")
    np.testing.assert_allclose(place(page, 0), point, atol=3)  # a pointer stands on whole pixels
    assert np.linalg.norm(place(page, 9_999) - place(page, 0)) > 3 * np.linalg.norm(far - before)
    page.locator(".map-buttons").first.get_by_role("button", name="Show all pictures").click()
    until(page, f"{MAP}.view.zoomed === 1")

    # hover shows the picture
    page.mouse.move(*(where + place(page, 777)))
    card = page.locator(".map-card")
    expect(card).to_be_visible()
    painted = f"{MAP}.shown.getContext('2d').getImageData(160, 160, 1, 1).data[3] > 0"
    until(page, painted)
    shown = page.evaluate(f"{MAP}.at")
    assert card.locator("strong").inner_text() == f"kind {shown * 20 // 10_000}"
    assert card.locator(".map-id").inner_text() == f"{shown:05d}.jpg"
    keep(page, "map-hover", tmp_path)

    # colours by each kind of field
    field = page.get_by_label("Colour by")
    field.select_option("price")
    expect(page.locator(".map-range")).to_contain_text("1")
    expect(page.locator(".map-legend")).to_contain_text("nothing known500")
    assert page.locator(".map-range").inner_text().split() == ["1", "10", "19"]
    keep(page, "map-price", tmp_path)
    field.select_option("taken")
    expect(page.locator(".map-range")).to_contain_text("2019-05-31")
    field.select_option("sold")
    expect(page.locator(".map-legend")).to_contain_text("yes5,000")
    field.select_option("label")
    page.get_by_label("Highlight").select_option("kind 13")
    assert page.evaluate(f"{MAP}.highlighted") == "kind 13"
    keep(page, "map-highlight", tmp_path)

    # a lasso around one group gives its ids, which the command takes
    page.locator(".map-buttons").first.get_by_role("button", name="Select", exact=True).click()
    group = np.array([place(page, point) for point in range(500)])
    low, high = where + group.min(0) - 5, where + group.max(0) + 5
    page.mouse.move(*low)
    page.mouse.down()
    for end in ([high[0], low[1]], high, [low[0], high[1]]):
        page.mouse.move(*end, steps=4)
    page.mouse.up()
    expect(page.locator(".map-selection")).to_contain_text("500 pictures selected")
    keep(page, "map-lasso", tmp_path)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    ids = tmp_path / "ids.txt"
    download.value.save_as(ids)
    assert ids.read_text().split() == [f"{number:05d}.jpg" for number in range(500)]
    assert page.get_by_label("Ids of the selected pictures").input_value() == ids.read_text()
    code, out, _ = commands.run(capsys, "index", "remove", index.folder, "--ids", ids)
    assert (code, out) == (0, "500 removed, 9,500 left\n")
    page.reload()
    opened(page)
    expect(page.locator("#trouble")).to_contain_text("500 pictures are gone")
    expect(page.locator("#status")).to_contain_text("9,500 pictures")


@pytest.mark.slow
def test_the_keyboard_a_finger_and_the_dark(
    serve: Serve, visit: Open, cars: list[Path], encoder: Encoder, tmp_path: Path
) -> None:
    client = serve(index=mapped(tmp_path / "index", cars, encoder, 400))
    page = visit(client, "/map", color_scheme="dark")
    canvas = opened(page)
    assert keep(page, "map-dark", tmp_path).mean() < 90
    canvas.focus()
    page.keyboard.press("ArrowRight")
    first = page.evaluate(f"{MAP}.at")
    page.keyboard.press("ArrowRight")
    second = page.evaluate(f"{MAP}.at")
    assert second != first
    assert place(page, second)[0] > place(page, first)[0]
    expect(page.locator("[aria-live=polite]").last).to_contain_text(f"{second:05d}.jpg")
    page.keyboard.press(" ")
    expect(page.locator(".map-selection")).to_contain_text("1 picture selected")
    for key in ("+", "+", "+", "v"):
        page.keyboard.press(key)
    selected = page.get_by_label("Ids of the selected pictures").input_value().split()
    assert 1 < len(selected) < 400
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{client.base_url}/#like=id%3A{second:05d}.jpg")
    expect(page.locator("#heading")).to_have_text("Most alike")
    expect(page.get_by_role("link", name="Map")).to_be_visible()

    phone = visit(client, "/map", viewport=NARROW, is_mobile=True, has_touch=True, device_scale_factor=2)
    canvas = opened(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    phone.touchscreen.tap(*(corner(canvas) + place(phone, 7)))
    expect(phone.locator(".map-card")).to_be_visible()
    expect(phone.get_by_role("link", name="Search from here")).to_be_visible()
    until(phone, f"{MAP}.shown.getContext('2d').getImageData(160, 160, 1, 1).data[3] > 0")
    keep(phone, "map-phone", tmp_path)
    unnamed = phone.evaluate(
        "[...document.querySelectorAll('button, input, select, a')].filter(e => !e.closest('[hidden]')"
        " && !(e.getAttribute('aria-label') || e.innerText || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert unnamed == [], "a screen reader needs a name for each"


@pytest.mark.slow
def test_without_a_map_the_page_says_how_to_draw_one(serve: Serve, visit: Open) -> None:
    page = visit(serve(), "/map")
    expect(page.locator("#trouble")).to_contain_text("this index has no map")
    expect(page.locator("#trouble")).to_contain_text("bier index map INDEX")
