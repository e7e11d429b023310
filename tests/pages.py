"""The search page in a browser: what tests read from it, and screenshots."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
expect.set_options(timeout=30_000)  # a busy machine
NARROW = {"width": 390, "height": 844}


def labels(page: Any) -> list[str]:
    return page.locator("#pictures .hit:not(.away) .label").all_inner_texts()


def order(page: Any) -> list[str]:
    return [label.get_attribute("title") for label in page.locator("#pictures .hit:not(.away) .label").all()]


def until(page: Any, condition: str) -> None:
    """playwright's own waiting needs eval, which the page's policy forbids."""
    deadline = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def wait_until(page: Any, condition: Callable[[], bool]) -> None:
    """The same for what is told here and not in the page."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def keep(page: Any, name: str, folder: Path) -> np.ndarray:
    """A screenshot, once the pictures are there: (H, W, 3)."""
    until(page, "[...document.querySelectorAll('.tile img')].every(i => i.complete && i.naturalWidth)")
    page.wait_for_timeout(300)
    folder = Path(os.environ.get("BIER_SCREENSHOTS", folder))
    page.screenshot(path=folder / f"{name}.png")
    return np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
