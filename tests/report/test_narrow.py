"""The page in a real browser, as narrow as a phone. BIER_SCREENSHOTS keeps screenshots in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bier.report import write_report

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
PHONE = {"width": 390, "height": 844}
SIDEWAYS = """() => [document.scrollingElement, ...document.querySelectorAll("*")]
    .filter(e => e == document.scrollingElement || ["auto", "scroll"].includes(getComputedStyle(e).overflowX))
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => `${e.tagName} ${e.className} ${e.scrollWidth}`)"""


@pytest.mark.slow
def test_nothing_scrolls_sideways_on_a_phone(browser, write_run, confusion, tmp_path):
    long_name = "a_run_with_a_name_that_is_far_too_long_for_any_telephone_on_this_side_of_the_river"
    told = {"source": "/pictures/" + "very_deep/" * 9, "classes_seen": 50, "confusions": [confusion]}
    one, two = write_run(long_name, **told), write_run("b", seed=1)
    for name, runs in (("one", [one]), ("two", [one, two])):
        file = write_report(runs, tmp_path / f"{name}.html")
        page = browser.new_page(viewport=PHONE)
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
        if os.environ.get("BIER_SCREENSHOTS"):
            page.screenshot(path=Path(os.environ["BIER_SCREENSHOTS"]) / f"report-{name}.png", full_page=True)
        assert page.evaluate(SIDEWAYS) == []
        page.close()
