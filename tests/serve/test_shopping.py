"""The page as a shopper uses it: products with fields and links, filters, a part of a picture, the first screen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import NARROW, expect, keep, order, until, wait_until
from PIL import Image

from bier.confidence.calibration import Calibration, Chance, Fit
from bier.search import Index, IndexInfo, create_index, open_index
from bier.search.calibration_file import IndexCalibration, remove_calibration, write_calibration

Serve = Callable[..., httpx.Client]
Open = Callable[..., Any]
LAPTOP = {"width": 1440, "height": 900}
PHONE = {"viewport": NARROW, "is_mobile": True, "has_touch": True}
MAKERS = ["Äcme Gold", "Goldfinch", "Marigold", "Tin", "Iron"]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """The same pictures as products: a maker as label, a price, and for every second one a link."""
    made = tmp_path_factory.mktemp("shop") / "index"
    with open_index(folder) as cars:
        [rows] = cars.scan()
        about = cars.info
    info = IndexInfo(
        about.model, about.sizes, about.scales, model_path=about.model_path, fields=("image", "label", "price", "url")
    )
    links = ["https://shop.example/1?a=b&c", "javascript:alert(1)", "ftp://shop.example", "", None]
    products = [
        {**row, "label": MAKERS[n // 12], "price": f"{n}.50", "url": links[n % 5]}
        for n, row in enumerate(rows.metadata)
    ]
    with create_index(made, info, "exact") as index:
        index.add(rows.ids, rows.vectors, products)
    return made


def product(page: Any, name: str) -> Any:
    """The tile of a picture."""
    return page.locator("#pictures .hit:not(.away)").filter(has=page.locator(f'.label[title="{name}"]'))


@pytest.mark.slow
def test_results_stand_on_the_first_screen(serve: Serve, visit: Open, cars: list[Path], tmp_path: Path) -> None:
    client = serve(marks=tmp_path / "marks.jsonl")
    for name, options, most in (("laptop", {"viewport": LAPTOP}, (230, 290)), ("phone", PHONE, (300, 420))):
        page = visit(client, **options)
        expect(page.locator("#pictures .hit img").first).to_be_visible()
        browsing = page.locator("#pictures").bounding_box()["y"]
        page.set_input_files("#files", cars[20])
        expect(page.locator("#pictures .value").first).to_be_visible()
        keep(page, f"first-{name}", tmp_path)
        searching = page.locator("#pictures").bounding_box()["y"]
        assert (browsing, searching) < most, name
        assert searching < most[1], name
        first = page.locator("#pictures .hit").first.bounding_box()
        assert first["y"] + first["height"] < options["viewport"]["height"], "whole, with its buttons"
        if options is PHONE:
            small = page.evaluate(
                "[...document.querySelectorAll('button, a, select, summary, input')].filter(e => e.checkVisibility()"
                " && e.type !== 'radio' && !e.matches('.skip')).map(e => [e.id || e.className, "
                "e.getBoundingClientRect().height]).filter(([, height]) => height < 44)"
            )
            assert small == [], "a finger needs 44 pixels"


@pytest.mark.slow
def test_a_filter_by_a_part_of_a_label(serve: Serve, visit: Open, shop: Path, tmp_path: Path) -> None:
    page = visit(serve(index=open_index(shop)), viewport=LAPTOP)
    expect(page.locator("#status")).to_have_text("60 pictures")
    options = page.locator("#filter-list [role=option]")
    page.locator("#filter-value").click()
    expect(options).to_have_text([f"{maker}12" for maker in sorted(MAKERS, key=lambda one: one.replace("Ä", "A"))])
    page.keyboard.type("GOLD")
    expect(options).to_have_text(["all with “GOLD”3 values", "Goldfinch12", "Äcme Gold12", "Marigold12"])
    keep(page, "filter", tmp_path)
    page.keyboard.press("Enter")
    expect(page.locator("#heading")).to_have_text("Pictures with label with “GOLD” in it")
    expect(page.locator("#status")).to_have_text("36 pictures")
    page.locator("#filter-value").click()
    page.keyboard.type("acme")
    expect(options).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_text("label “Äcme Gold”")
    expect(page.locator("#status")).to_have_text("12 pictures")
    page.locator("#filter-value").fill("goldfnich")
    expect(page.locator("#filter-list")).to_contain_text("Did you mean:")
    options.click()
    expect(page.locator(".chip")).to_have_text("label “Goldfinch”")
    page.locator("#filter-field").select_option("price")
    page.locator("#filter-value").fill("17.5")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("1 picture")
    page.get_by_role("button", name="Take away the filter: label").click()
    expect(page.locator(".chip")).to_have_text("price “17.50”")


@pytest.mark.slow
def test_a_product_has_its_link_and_all_its_fields(serve: Serve, visit: Open, shop: Path, tmp_path: Path) -> None:
    index = open_index(shop)
    [rows] = index.scan()
    by_link = {row["url"]: name for name, row in zip(rows.ids[:5], rows.metadata[:5], strict=True)}
    page = visit(serve(index=index), viewport=LAPTOP)
    expect(page.locator("#pictures .hit img").first).to_be_visible()
    for link, name in by_link.items():
        opener = product(page, name).locator(".open")
        safe = link is not None and link.startswith("https:")
        assert opener.get_attribute("href") == (link if safe else None)
        assert opener.get_attribute("rel") == ("noopener noreferrer" if safe else None)
    linked = rows.ids[0]
    product(page, linked).get_by_role("button", name="Details").click()
    assert page.locator("#look dt").all_inner_texts() == ["id", "label", "price", "url"]
    assert page.locator("#look dd").all_inner_texts()[:3] == [linked, "Äcme Gold", "0.50"]
    assert page.locator("#look dd a").get_attribute("href") == "https://shop.example/1?a=b&c"
    keep(page, "product", tmp_path)
    page.get_by_role("button", name="Original picture").click()
    expect(page.locator("#look-note")).to_contain_text("pixels")
    page.get_by_role("button", name="Search from here").click()
    expect(page.locator(f'.example[title="{linked}"]')).to_be_visible()


def drawn(page: Any) -> list[int]:
    """The box of the example, from the address."""
    until(page, "location.hash.includes('box')")
    return [
        int(number) for number in page.evaluate("decodeURIComponent(location.hash).match(/box:([^:]*):/)[1]").split(",")
    ]


def found(client: httpx.Client, picture: Path, box: list[int]) -> list[str]:
    answer = client.post(
        "/api/search/pictures",
        files={"picture": picture.read_bytes()},
        data={"box": json.dumps(box), "top": 48},
    )
    return [hit["id"] for hit in answer.json()["hits"]]


def expect_found(page: Any, expected: list[str]) -> None:
    """The same first results, in the same order."""
    expect(page.locator("#pictures .label").first).to_have_attribute("title", expected[0])
    shown = order(page)
    assert shown == expected[: len(shown)]


def open_part(page: Any, picture: Path) -> tuple[float, float]:
    """The corner of the picture on which a box is drawn."""
    page.set_input_files("#files", picture)
    expect(page.locator("#pictures .value").first).to_be_visible()
    page.get_by_role("button", name="Choose part of").click()
    expect(page.locator("#part-area")).to_be_focused()
    area = page.locator("#part-picture").bounding_box()
    return area["x"], area["y"]


def test_a_part_is_drawn_with_the_mouse(serve: Serve, visit: Open, cars: list[Path], tmp_path: Path) -> None:
    client = serve()
    page = visit(client, viewport=LAPTOP)
    left, top = open_part(page, cars[20])
    page.mouse.move(left + 40, top + 30)
    page.mouse.down()
    page.mouse.move(left + 100, top + 90, steps=3)
    page.mouse.move(left + 160, top + 120)
    page.mouse.up()
    keep(page, "part", tmp_path)
    expect(page.locator("#part-text")).to_contain_text("pixels, from")
    page.get_by_role("button", name="Search for this part").click()
    expect(page.locator(".example canvas")).to_be_visible()
    part = found(client, cars[20], drawn(page))
    assert part != found(client, cars[20], [0, 0, 9999, 9999])
    expect_found(page, part)
    keep(page, "part-found", tmp_path)
    page.go_back()
    expect(page.locator(".example canvas")).to_have_count(0)
    page.locator("#pictures .similar").first.click()
    expect(page.locator(".example img")).to_be_visible()
    page.keyboard.press("p")
    expect(page.locator("#part-area")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".example canvas")).to_be_visible()
    name = page.locator(".example").get_attribute("title")
    wait_until(page, lambda: name not in order(page))  # an example is no result


@pytest.mark.slow
def test_a_part_is_drawn_with_the_keyboard_alone(serve: Serve, visit: Open, cars: list[Path]) -> None:
    client = serve()
    page = visit(client, viewport=LAPTOP)
    open_part(page, cars[20])
    text = page.locator("#part-text")
    seen = []
    for key in ("ArrowDown", "ArrowRight", "Shift+ArrowLeft", "Shift+ArrowDown"):
        page.keyboard.press(key)
        seen.append(text.inner_text())
    assert len(set(seen)) == 4
    page.keyboard.press("Escape")
    expect(text).to_contain_text("No box yet")
    expect(page.locator("#part")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator(".example canvas")).to_be_visible()
    expect(page.locator(".example .part")).to_be_focused()
    expect_found(page, found(client, cars[20], drawn(page)))


@pytest.mark.slow
def test_a_part_is_drawn_with_a_finger(serve: Serve, visit: Open, cars: list[Path], tmp_path: Path) -> None:
    client = serve()
    page = visit(client, **PHONE)
    left, top = open_part(page, cars[20])
    for x, y in ((20, 20), (150, 90)):  # two taps, for hands that cannot drag
        page.touchscreen.tap(left + x, top + y)
    expect(page.locator("#part-text")).to_contain_text("pixels, from")
    before = page.locator("#part-text").inner_text()
    send = page.context.new_cdp_session(page).send
    for kind, x, y in (("Start", 150, 90), ("Move", 120, 70), ("Move", 100, 60)):
        send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": [{"x": left + x, "y": top + y}]})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#part-text")).not_to_have_text(before)
    keep(page, "part-phone", tmp_path)
    page.get_by_role("button", name="Search for this part").tap()
    expect(page.locator(".example canvas")).to_be_visible()
    expect_found(page, found(client, cars[20], drawn(page)))


def test_what_is_not_in_the_catalogue_is_grey(
    serve: Serve, visit: Open, shop: Path, cars: list[Path], tmp_path: Path
) -> None:
    white = tmp_path / "white.png"
    Image.new("RGB", (200, 200), "white").save(white)
    index = open_index(shop)
    client = serve(index=index)
    nearest = client.post("/api/search/pictures", files={"picture": white.read_bytes()}).json()["hits"][0]["score"]
    assert nearest < 0.98
    by_score = Chance(-200 * (nearest + 1) / 2, {"top_score": 200})
    fits = dict.fromkeys(("all", "labels", "vectors", "scores"), Fit(Chance(50, {}), by_score, by_score, 0.5))
    write_calibration(shop, index.info, IndexCalibration(Calibration(index.info.sizes, fits), 60))
    try:
        page = visit(client, viewport=LAPTOP)
        page.set_input_files("#files", white)
        expect(page.locator("#absent")).to_contain_text("Probably not in this catalogue.")
        expect(page.locator("#status")).to_contain_text("nearest:")
        greyed = "getComputedStyle(document.querySelector('#pictures .tile img')).filter"
        expect(page.locator("#pictures .tile img").first).to_be_visible()
        assert page.evaluate(greyed) == "grayscale(1)"
        keep(page, "absent", tmp_path)
        page.set_input_files("#files", cars[20])
        expect(page.locator("#status")).to_contain_text("sure: ")
        expect(page.locator("#absent")).to_be_hidden()
        assert page.evaluate(greyed) == "none"
    finally:
        remove_calibration(shop)


@pytest.mark.slow
def test_an_empty_index_says_so(
    serve: Serve,
    visit: Open,
    fill: Callable[..., Index],
    cars: list[Path],
    tmp_path: Path,
) -> None:
    index = fill(tmp_path / "index", cars[:1])
    index.delete([f"{cars[0].parent.name}/{cars[0].name}"])
    page = visit(serve(index=index), viewport=LAPTOP)
    expect(page.locator("#empty")).to_contain_text("This index is empty.")
    expect(page.locator("#filter")).to_be_hidden()
    page.set_input_files("#files", cars[0])
    expect(page.locator("#empty")).to_have_text("This index is empty, so there is nothing to find.")
    keep(page, "empty", tmp_path)
