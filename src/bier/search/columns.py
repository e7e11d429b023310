"""Ids and fields of many pictures, in Arrow's columns: a tenth of what Python objects take, in memory and in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bier.data.fields import Kinds, Scalar, arrow_type
from bier.search.filters import Filter, Filters

ID = "id"
"""The column of ids; no field has this name."""
Mask = NDArray[np.bool_]

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "at_least": pc.greater_equal,
    "above": pc.greater,
    "at_most": pc.less_equal,
    "below": pc.less,
}


@dataclass(frozen=True, eq=False)
class Columns:
    """Some pictures, in some order."""

    table: pa.Table
    """The ids, then each field under its name."""

    @classmethod
    def of(cls, ids: Sequence[str], metadata: Sequence[Mapping[str, Any]], kinds: Kinds) -> Columns:
        """The same as lists hold it."""
        fields = {field: pa.array([row[field] for row in metadata], arrow_type(kind)) for field, kind in kinds.items()}
        return cls(pa.table({ID: pa.array(ids, pa.string()), **fields}))

    @classmethod
    def joined(cls, parts: Iterable[Columns], kinds: Kinds) -> Columns:
        """All of them, one after the other."""
        tables = [cls.of([], [], kinds).table, *(part.table for part in parts)]
        return cls(pa.concat_tables(tables).combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def ids(self) -> list[str]:
        return self.table[ID].to_pylist()  # type: ignore[no-any-return]

    @property
    def metadata(self) -> list[dict[str, Any]]:
        return self.table.drop_columns([ID]).to_pylist()  # type: ignore[no-any-return]

    def take(self, rows: Any) -> Columns:
        """These pictures, in this order."""
        return Columns(self.table.take(pa.array(rows, pa.int64())))

    def first(self, count: int, offset: int = 0) -> Columns:
        """At most so many, from one on."""
        return Columns(self.table.slice(offset, count))

    def in_order(self) -> Columns:
        """Sorted by id."""
        return Columns(self.table.take(pc.sort_indices(self.table[ID])))

    def passing(self, filters: Filters) -> Mask:
        """(n,) whether each picture passes all filters."""
        passes = np.ones(len(self), bool)
        for one in filters:
            passes &= _passing(self.table[one.field], one)
        return passes


def _passing(column: Any, one: Filter) -> Mask:
    passes = np.ones(len(column), bool)
    if one.among is not None:
        passes &= _holds(column, one, one.among)
    if one.without:
        passes &= ~_holds(column, one, one.without)
    for name, limit in one.bounds:
        passes &= _mask(pc.fill_null(_COMPARE[name](column, pa.scalar(limit, column.type)), False))
    return passes


def _holds(column: Any, one: Filter, values: Sequence[Scalar | None]) -> Mask:
    """Whether each is one of some values, or a list that holds one; None is a missing value."""
    if one.kind != "texts":
        return _mask(pc.is_in(column, value_set=pa.array(values, column.type)))
    holds = _mask(pc.is_null(column)) if None in values else np.zeros(len(column), bool)
    lists = column.combine_chunks()
    wanted = pa.array([value for value in values if value is not None], pa.string())
    found = pc.list_parent_indices(lists).filter(pc.is_in(pc.list_flatten(lists), value_set=wanted))
    holds[found.to_numpy(zero_copy_only=False)] = True
    return holds


def _mask(column: Any) -> Mask:
    mask: Mask = np.asarray(column.to_numpy())
    return mask
