"""Filters by values of every kind: what each engine lets through, how they are typed, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import product
from typing import Any

import numpy as np
import pytest
from ensembles import fitted

from bier.errors import BierError, ConfigError, SearchError
from bier.search import Index, IndexInfo, StagedSearch, open_index
from bier.search.check import check_index
from bier.search.filters import check_filters, parse_filters, passing

INFO = IndexInfo(
    "fingerprint-of-a-model",
    sizes=(2, 4),
    scales=(0.5, 0.8),
    fields=("image", "label", "name", "stock", "price", "sold", "added", "tags", "odd 'field"),
    types={
        "stock": "whole",
        "price": "decimal",
        "sold": "yes/no",
        "added": "date",
        "tags": "texts",
        "odd 'field": "whole",
    },
)
ROWS: list[dict[str, Any]] = [
    {"name": "a", "stock": 0, "price": 5.0, "sold": True, "added": "2024-01-31", "tags": ["red", "it's"]},
    {"name": "b", "stock": -3, "price": 19.99, "sold": False, "added": "2024-02-01T12:30:00", "tags": []},
    {"name": "c", "stock": 2**53 + 1, "price": 1e-07, "sold": False, "added": "2025-01-01", "tags": ['"] or true']},
    {"name": "d", "price": 20.0, "tags": ["blue", "red"], "odd 'field": 7},
    {"name": None},
]
FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "a value": ({"price": 20}, "d"),
    "one of several": ({"stock": [0, -3, None]}, "abd?"),
    "a large number": ({"stock": 2**53 + 1}, "c"),
    "not": ({"price": {"not": 20}}, "abc?"),
    "not, and there": ({"stock": {"not": [0, None]}}, "bc"),
    "there": ({"sold": {"not": None}}, "abc"),
    "a range": ({"price": {"at_least": 5, "below": 20}}, "ab"),
    "an open range": ({"price": {"above": 5.0, "at_most": 20.0}}, "bd"),
    "whole numbers": ({"stock": {"below": 0}}, "b"),
    "yes": ({"sold": True}, "a"),
    "not yes": ({"sold": {"not": True}}, "bcd?"),
    "dates": ({"added": {"above": "2024-01-31", "at_most": date(2025, 1, 1)}}, "bc"),
    "a moment": ({"added": "2024-02-01 13:30:00+01:00"}, "b"),
    "in a list": ({"tags": "red"}, "ad"),
    "one in a list": ({"tags": ["it's", "blue"]}, "ad"),
    "not in a list": ({"tags": {"not": ["red"]}}, "bc?"),
    "no list": ({"tags": None}, "?"),
    "a list, and not red": ({"tags": {"not": ["red", None]}}, "bc"),
    "no command": ({"tags": '"] or true'}, "c"),
    "a text": ({"name": {"not": ["a", "b' OR '1'='1"]}}, "bcd?"),
    "texts": ({"name": {"is": ["a", "b", None], "not": "b"}}, "a?"),
    "nothing": ({"price": []}, ""),
    "an odd name": ({"odd 'field": {"at_least": 7}}, "d"),
    "all of them": ({"sold": False, "stock": {"at_least": 0}, "tags": {"not": "x"}}, "c"),
}


def fill(index: Index) -> None:
    vectors = fitted(np.random.default_rng(0).standard_normal((5, 6)), INFO)
    index.add(list("abcd?"), vectors, ROWS)


def test_every_engine_lets_the_same_through(make: Callable[..., Index]) -> None:
    index = make(info=INFO)
    fill(index)
    query = np.ones(6)
    for opened in (index, open_index(index.folder)):
        staged = StagedSearch(opened)
        for what, (where, expected) in FILTERS.items():
            assert opened.count(where) == len(expected), what
            for search in (opened, staged):
                [hits] = search.search(query, top=9, where=where)
                assert "".join(sorted(hit.id for hit in hits)) == "".join(sorted(expected)), what
        batched = opened.search(np.tile(query, (6, 1)), top=9, where={"price": {"below": 6}})
        assert [sorted(hit.id for hit in hits) for hits in batched] == [["a", "c"]] * 6
        found = {record.id: record.metadata for record in opened.get(list("abcd?")) if record is not None}
        for name, row in zip("abcd?", ROWS, strict=True):
            assert found[name] == dict.fromkeys(INFO.fields) | row
            assert {key: type(value) for key, value in found[name].items() if key in row} == {
                key: type(value) for key, value in row.items()
            }
        assert sorted(value for batch in opened.values("stock") for value in batch if isinstance(value, int)) == [
            -3,
            0,
            2**53 + 1,
        ]
        assert opened.info == index.info
        assert check_index(opened).pictures == 5
        opened.close()


def test_what_is_typed_means_the_same() -> None:
    for texts, where in [
        (["price>=5", "price < 20"], {"price": {"at_least": 5.0, "below": 20.0}}),
        (["stock=0", "stock=-3", "stock="], {"stock": {"is": [0, -3, None]}}),
        (["name!=a", "name=b<c"], {"name": {"not": ["a"], "is": ["b<c"]}}),
        (["sold=yes", "added>2024-01-31"], {"sold": {"is": [True]}, "added": {"above": "2024-01-31"}}),
        (["tags=red", "tags!="], {"tags": {"is": ["red"], "not": [None]}}),
        (["label="], {"label": {"is": ["", None]}}),
        (["odd 'field<=7"], {"odd 'field": {"at_most": 7}}),
    ]:
        assert parse_filters(texts, INFO.kinds) == where
        check_filters(where, INFO.kinds, "index")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["prise<20"], "no field 'prise'\n  → did you mean 'price'"),
        (["price<cheap"], r"'cheap' cannot be a value of the field 'price' \(decimal\)\n  → give a number"),
        (["price<"], "'below' of the field 'price' is missing"),
        (["stock<2.5"], "give a whole number"),
        (["sold=1"], "give yes or no"),
        (["added>=2024-02-31"], "give a date, such as"),
        (["name<b"], r"the field 'name' \(text\) has no order"),
        (["tags>a"], "has no order"),
        (["price<1", "price<2"], "price< is given twice"),
        (["price"], "not field=value"),
        (["=5"], "not field=value"),
    ],
)
def test_what_cannot_be_meant_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(BierError, match=message):
        check_filters(parse_filters(texts, INFO.kinds), INFO.kinds, "index")


def test_values_of_another_type_are_refused() -> None:
    for where, message in [
        ({"price": "5"}, "cannot be a value of the field 'price'"),
        ({"price": True}, "cannot be a value"),
        ({"price": float("nan")}, "cannot be a value"),
        ({"stock": 2**63}, "cannot be a value"),
        ({"sold": 1}, "cannot be a value"),
        ({"name": 3}, "cannot be a value"),
        ({"tags": [["red"]]}, "cannot be a value"),
        ({"price": {"less": 3}}, "no condition 'less'"),
        ({"price": {}}, "has no condition"),
    ]:
        with pytest.raises(SearchError, match=message):
            check_filters(where, INFO.kinds, "index")
    with pytest.raises(SearchError, match=r"'price' cannot be of the kind 'money'"):
        replace(INFO, types={"price": "money"})
    with pytest.raises(SearchError, match=r"'label' cannot be of the kind 'whole'"):
        replace(INFO, types={"label": "whole"})
    with pytest.raises(SearchError, match="types are"):
        replace(INFO, types={"colour": "whole"})


def test_filters_of_one_field_hold_together() -> None:
    """Every pair of conditions lets through what both let through alone."""
    one_field = [(name, where) for name, (where, _) in FILTERS.items() if list(where) == ["price"]]
    for (_, first), (_, second) in product(one_field, one_field):
        both = [first["price"], second["price"]]
        if all(isinstance(one, dict) for one in both) and both[0].keys().isdisjoint(both[1]):
            passes = passing(check_filters({"price": both[0] | both[1]}, INFO.kinds, "index"))
            alone = [passing(check_filters(where, INFO.kinds, "index")) for where in (first, second)]
            assert [passes(row) for row in ROWS] == [all(test(row) for test in alone) for row in ROWS]


def test_a_range_given_twice_is_a_mistake_of_the_command() -> None:
    with pytest.raises(ConfigError):
        parse_filters(["price>1", "price>2"], INFO.kinds)
