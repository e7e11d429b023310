"""Columns of a table: their kinds, inferred from all cells or taken from Arrow, and their names as fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest

from bier.data.columns import Column, field_names
from bier.errors import DataError


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", ""], "whole", [1, -2, None]),
        (["1.5", "2", "nan"], "decimal", [1.5, 2.0, None]),
        (["yes", "NO", "true"], "yes/no", [True, False, True]),
        (["2024-01-31", "2024-01-31T10:00:00+02:00"], "date", ["2024-01-31", "2024-01-31T08:00:00"]),
        (['["a", "b"]', "[]"], "texts", [["a", "b"], []]),
        (["007", "+49", "99999999999999999999"], "text", ["007", "+49", "99999999999999999999"]),
        (["2024-02-31", "1,5", "1e999"], "text", ["2024-02-31", "1,5", "1e999"]),
        (["[" * 5000, "[1]"], "text", ["[" * 5000, "[1]"]),
        (["", "NaN"], "text", [None, None]),
    ],
)
def test_a_kind_is_that_of_all_cells(cells: list[str], kind: str, values: list[Any]) -> None:
    column = Column.of_cells("field", cells)
    assert (column.kind, column.values, column.mixed) == (kind, values, None)


def test_mixed_cells_are_texts_and_said() -> None:
    column = Column.of_cells("size", ["40", "", "L"])
    assert column.in_words() == "size (text: '40' and 'L' are of different types)"
    assert column.values == ["40", None, "L"]
    kept = column.take(np.array([False, True, True]))
    assert (kept.values, kept.cells) == ([None, "L"], ["", "L"])
    with pytest.raises(DataError, match=r"table.csv, row 4: the column 'size': 'L' is not a whole number"):
        column.read_as("whole", [2, 3, 4], "table.csv")


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (arrow.array([1, None], arrow.uint8()), "whole", [1, None]),
        (arrow.array([float("nan"), 1.5], arrow.float32()), "decimal", [None, 1.5]),
        (arrow.array(["a", None]).dictionary_encode(), "text", ["a", None]),
        (arrow.array([["a", None], None]), "texts", [["a"], None]),
        (arrow.array([10**18, None], arrow.timestamp("ns", "UTC")), "date", ["2001-09-09T01:46:40", None]),
        (arrow.array([0], arrow.date32()), "date", ["1970-01-01"]),
    ],
)
def test_the_kind_of_an_arrow_type(array: Any, kind: str, values: list[Any]) -> None:
    column = Column.of_arrow("field", arrow.chunked_array([array]))
    assert column is not None
    assert (column.kind, column.values) == (kind, values)


def test_what_no_index_holds_is_left_out_or_named() -> None:
    assert Column.of_arrow("field", arrow.chunked_array([arrow.array([[1.0]])])) is None
    infinite = Column.of_arrow("field", arrow.chunked_array([arrow.array([1.0, float("inf")])]))
    assert infinite is not None
    [(position, fault)] = infinite.faults()
    assert (position, "'inf' is not a number" in fault) == (1, True)
    assert [position for position, _ in Column.of_cells("field", ["a", "x" * 8193]).faults()] == [1]


def test_names_of_fields() -> None:
    headings = [" Price (EUR)", "", "id", "größe", "x" * 99]
    assert field_names(headings, Path("table.csv")) == ["price_eur", "column_2", "table_id", "größe", "x" * 63]
    with pytest.raises(DataError, match="'Price' and 'price ' would both be the field 'price'"):
        field_names(["Price", "price "], Path("table.csv"))
