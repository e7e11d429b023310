"""What a filter offers: parts of words without case and accents, near misses, and an index that is read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bier.search import IndexInfo
from bier.search.engines.exact import ExactIndex
from bier.serve import values
from bier.serve.values import Counted, Values, counted

FRUIT = Counter({"Golden-Delicious": 6, "Marigold": 2, "Äpfel_Golden": 3, "Pear": 4, None: 5, "Straße": 1})


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("gold", ["Golden-Delicious", "Äpfel_Golden", "Marigold"]),
        ("GOLDEN DEL", ["Golden-Delicious"]),
        ("golden-del", ["Golden-Delicious"]),
        ("apfel", ["Äpfel_Golden"]),
        ("strasse", ["Straße"]),
        ("", ["Äpfel_Golden", "Golden-Delicious", "Marigold", "Pear", "Straße", None]),
        ("goldfish", []),
    ],
)
def test_parts_of_words_are_found(part: str, found: list[str | None]) -> None:
    matches = Counted(FRUIT).matching(part, 10)
    assert matches.values == [(value, FRUIT[value]) for value in found]
    assert matches.count == len(found)


def test_those_beyond_the_limit_are_counted() -> None:
    matches = Counted(FRUIT).matching("", 2)
    assert (len(matches.values), matches.count) == (2, 6)


@pytest.mark.parametrize(
    ("part", "near"), [("goldne delicios", "Golden-Delicious"), ("delicius", "Golden-Delicious"), ("paer", "Pear")]
)
def test_a_near_miss_is_told(part: str, near: str) -> None:
    assert Counted(FRUIT).matching(part, 10).nearest[0] == near


def test_nothing_is_near_to_nonsense() -> None:
    assert Counted(FRUIT).matching("xyzzy", 10).nearest == []


def test_values_without_end_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MOST_VALUES", 4)
    found = counted([["a", "b", "a"], ["c", "d", "e", "a"], ["a", "f", "b"]])
    assert len(found) == 4
    assert found["a"] == 4


class WatchedIndex(ExactIndex):
    """Counts how often a field is read."""

    reads = 0

    def _values(self, field: str) -> Iterator[list[str | None]]:
        self.reads += 1
        yield from super()._values(field)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[WatchedIndex]:
    info = IndexInfo("0" * 64, (2,), (1.0,), engine="exact")
    ExactIndex.create(tmp_path, info)
    with WatchedIndex(tmp_path, info) as made:
        made.add(["1", "2"], np.full((2, 2), 0.5**0.5), [{"label": "pear"}, {"label": "apple"}])
        yield made


def test_a_field_is_read_once_until_the_index_changes(index: WatchedIndex) -> None:
    known = Values(index)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: known.of("label"), range(8)))
    assert all(one is found[0] for one in found)
    assert index.reads == 1
    index.add(["3"], np.full((1, 2), 0.5**0.5), [{"label": "pear"}])
    assert known.of("label").matching("pear", 1).values == [("pear", 2)]
    assert index.reads == 2
