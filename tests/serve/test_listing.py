"""Lists of a large index: read once for all who ask, without holding up others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bier.search import IndexInfo
from bier.search.base import Rows
from bier.search.engines.exact import ExactIndex
from bier.serve.listing import Listing


class WatchedIndex(ExactIndex):
    """Counts scans and batches, and lets them wait."""

    free = threading.Event()
    scans = batches = 0

    def scan(self, batch: int = 10) -> Iterator[Rows]:
        self.scans += 1
        self.free.wait(20)
        for rows in super().scan(10):
            self.batches += 1
            yield rows


@pytest.fixture
def index(tmp_path: Path) -> Iterator[WatchedIndex]:
    """Sixty pictures of three labels, one label after the other."""
    info = IndexInfo("0" * 64, (2,), (1.0,), engine="exact")
    ExactIndex.create(tmp_path, info)
    with WatchedIndex(tmp_path, info) as made:
        assert isinstance(made, WatchedIndex)
        made.free = threading.Event()
        made.free.set()
        metadata = [{"label": "abc"[n // 20]} for n in range(60)]
        made.add([f"{n:02}" for n in range(60)], np.full((60, 2), 0.5**0.5), metadata)
        yield made


def names(listing: Listing, label: str) -> list[str]:
    page = listing.page(0, 100, {"label": label})
    assert page is not None
    assert len(page[0]) == page[1]
    return [name for name, _ in page[0]]


def test_each_filter_has_its_list(index: WatchedIndex) -> None:
    listing = Listing(index, 25)
    for _ in range(2):
        for start, label in enumerate("abc"):
            assert names(listing, label) == [f"{n:02}" for n in range(20 * start, 20 * start + 20)]
    assert index.scans == 3, "lists are kept beside each other"
    assert names(listing, "none") == []
    assert index.scans == 3, "the engine's count tells that there are none"


def test_what_changes_is_listed_at_once(index: WatchedIndex) -> None:
    listing = Listing(index, 25)
    assert "05" in names(listing, "a")
    index.add(["05"], np.full((1, 2), 0.5**0.5), [{"label": "b"}])
    assert "05" not in names(listing, "a")
    assert "05" in names(listing, "b")


def test_reading_ends_with_the_last_picture(index: WatchedIndex) -> None:
    assert len(names(Listing(index, 25), "a")) == 20
    assert index.batches == 2


def test_a_list_that_is_read_holds_up_nobody_else(index: WatchedIndex) -> None:
    listing = Listing(index, 25)
    names(listing, "a")
    index.free.clear()
    with ThreadPoolExecutor(4) as threads:
        slow = [threads.submit(names, listing, "b") for _ in range(3)]
        deadline = time.monotonic() + 10
        while index.scans < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
        assert len(names(listing, "a")) == 20
        assert listing.page(0, 5, {"label": "b"}, read=False) is None
        assert time.monotonic() - started < 5
        index.free.set()
        assert [len(one.result(20)) for one in slow] == [20] * 3
    assert index.scans == 2, "read once for all three"


def test_many_values_are_no_burden(index: WatchedIndex) -> None:
    page = Listing(index, 100).page(0, 5, {"label": ["b", *map(str, range(1000))]})
    assert page is not None
    assert page[1] == 20
