"""Columns hold what lists of dictionaries hold, and pass what filters pass one by one."""

from __future__ import annotations

from typing import Any

import pytest

from bier.data.fields import Kinds
from bier.search.columns import Columns
from bier.search.filters import check_filters, passing

KINDS: Kinds = {
    "label": "text",
    "stock": "whole",
    "price": "decimal",
    "sold": "yes/no",
    "added": "date",
    "tags": "texts",
}
ROWS: list[dict[str, Any]] = [
    {"label": "b", "stock": 3, "price": 1.5, "sold": True, "added": "2024-05-31", "tags": ["new", "sale"]},
    {"label": "é", "stock": -1, "price": 2.0, "sold": False, "added": "2024-06-01T10:00:00", "tags": []},
    {"label": None, "stock": None, "price": None, "sold": None, "added": None, "tags": None},
    {"label": "a", "stock": 2**62, "price": 1e300, "sold": True, "added": "2023-01-01", "tags": ["old"]},
]
IDS = ["z", "é", "a/b", "m"]
WHERE: list[dict[str, Any]] = [
    {},
    {"label": "b"},
    {"label": ["a", None]},
    {"label": {"not": ["a", None]}},
    {"label": {"not": "a"}},
    {"stock": {"at_least": 3, "below": 2**62}},
    {"stock": {"above": 3}, "sold": True},
    {"price": {"at_most": 2}},
    {"price": 2},
    {"sold": {"not": True}},
    {"added": {"above": "2024-05-31"}},
    {"tags": "sale"},
    {"tags": ["old", None]},
    {"tags": {"not": "new"}},
    {"tags": {"is": ["new", "old"], "not": ["sale"]}},
    {"label": []},
]


@pytest.mark.parametrize("where", WHERE, ids=str)
def test_they_pass_what_filters_pass(where: dict[str, Any]) -> None:
    filters = check_filters(where, KINDS, "index")
    columns = Columns.joined([Columns.of(IDS[:1], ROWS[:1], KINDS), Columns.of(IDS[1:], ROWS[1:], KINDS)], KINDS)
    assert columns.passing(filters).tolist() == [passing(filters)(row) for row in ROWS]


def test_they_hold_what_was_given() -> None:
    columns = Columns.of(IDS, ROWS, KINDS)
    assert (columns.ids, columns.metadata) == (IDS, ROWS)
    assert columns.in_order().ids == sorted(IDS)
    assert columns.take([2, 0]).ids == ["a/b", "z"]
    assert columns.first(2, offset=3).ids == ["m"]
    assert len(Columns.joined([], KINDS)) == 0
