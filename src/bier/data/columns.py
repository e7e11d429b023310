"""The further columns of a table: every one but image and label, with a name and a kind that an index can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bier.data.fields import LONGEST_FIELD, Kind, Value, arrow_type, checked, parsed, read
from bier.errors import DataError

RESERVED = frozenset({"id", "vector", "image", "label", "scale"})
"""Names that mean something else in an index, or in a folder of vectors."""
MISSING = frozenset({"nan", "NaN", "<NA>", "NaT"})
"""What pandas writes for a missing cell where it turns columns into text."""

_EMPTY = MISSING | {""}
_TRIED: tuple[Kind, ...] = ("yes/no", "whole", "decimal", "date", "texts")
_MENTIONED = 20


@dataclass(frozen=True, eq=False)
class Column:
    """A value, or none, for each row of a table."""

    name: str
    """Of the field that it becomes."""
    kind: Kind
    values: Sequence[Value]
    cells: Sequence[str] | None = None
    """As they are written, where the table is text and says nothing of kinds."""
    mixed: tuple[str, str] | None = None
    """A text and a cell of another kind, which made all of them text."""

    @classmethod
    def of_cells(cls, name: str, cells: Sequence[str]) -> Column:
        """Of the one kind that all its cells have; else of texts."""
        filled = [cell for cell in cells if cell not in _EMPTY]
        fitting = (kind for kind in _TRIED if filled and all(read(cell, kind) is not None for cell in filled))
        kind: Kind = next(fitting, "text")
        values = [None if cell in _EMPTY else cell if kind == "text" else read(cell, kind) for cell in cells]
        return cls(name, kind, values, cells, _mixed(filled) if kind == "text" else None)

    @classmethod
    def of_arrow(cls, name: str, content: Any) -> Column | None:
        """Of the kind of its Arrow type; None if an index cannot hold values of that type."""
        import pyarrow as arrow

        kind = kind_of(content.type)
        if kind is None:
            return None
        if arrow.types.is_timestamp(content.type):  # Python knows no nanoseconds
            content = content.cast(arrow.timestamp("us", content.type.tz), safe=False)
        elif kind != "date":
            content = content.cast(arrow_type(kind))
        values = content.to_pylist()
        if kind == "decimal":
            values = [None if value is None or value != value else value for value in values]
        elif kind == "date":
            values = [checked(value, "date") for value in values]
        elif kind == "texts":
            values = [None if value is None else [text for text in value if text is not None] for value in values]
        return cls(name, kind, values)

    def take(self, rows: NDArray[Any]) -> Column:
        """The rows at these positions, or under this boolean mask."""
        places = np.arange(len(self.values))[rows].tolist()
        cells = None if self.cells is None else [self.cells[place] for place in places]
        return replace(self, values=[self.values[place] for place in places], cells=cells)

    def read_as(self, kind: Kind, rows: Sequence[int], where: object) -> Column:
        """The same column as values of another kind.

        Args:
            kind: that an index has for the field.
            rows: the numbers of the rows, for messages.
            where: what messages call the table.

        Raises:
            DataError: one of its cells is no such value.
        """
        if kind in (self.kind, "box") or self.cells is None:  # a column is not what was cut out
            return self
        values: list[Value] = []
        for row, cell in zip(rows, self.cells, strict=True):
            try:
                values.append(None if cell in _EMPTY else parsed(cell, kind))
            except ValueError as error:
                raise DataError(
                    f"the column {self.name!r}: {error}, as the index has it",
                    where=f"{where}, row {row}",
                    remedy="mend the cell, or make a new index of all tables",
                ) from None
        return replace(self, kind=kind, values=values, mixed=None)

    def faults(self) -> Iterator[tuple[int, str]]:
        """Positions of values that no index can hold, and what is wrong with them."""
        for position, value in enumerate(self.values):
            try:
                checked(value, self.kind)
            except ValueError as error:
                yield position, f"the column {self.name!r}: {error}"

    def in_words(self) -> str:
        """Name and kind, and why it is text where some cells are something else."""
        if self.mixed is None:
            return f"{self.name} ({self.kind})"
        return f"{self.name} ({self.kind}: {' and '.join(map(repr, self.mixed))} are of different types)"


def field_names(headings: Sequence[str], file: Path) -> list[str]:
    """What the columns of a table are called as fields: lower case, with ``_`` between words.

    A name that means something else is put behind ``table_``; a column without a name gets its number.

    Raises:
        DataError: two columns would have the same name.
    """
    names = [_field_name(heading, number) for number, heading in enumerate(headings, 1)]
    for number, name in enumerate(names):
        first = names.index(name)
        if first < number:
            raise DataError(
                f"the columns {headings[first]!r} and {headings[number]!r} would both be the field {name!r}",
                where=file,
                remedy="rename or remove one of them",
            )
    return names


def kind_of(arrow_type: Any) -> Kind | None:
    """The kind of values of an Arrow type, or none."""
    from pyarrow import types

    if types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
    if types.is_list(arrow_type) or types.is_large_list(arrow_type):
        return "texts" if kind_of(arrow_type.value_type) == "text" else None
    kinds: dict[Kind, tuple[Any, ...]] = {
        "text": (types.is_string, types.is_large_string, types.is_string_view, types.is_null),
        "whole": (types.is_integer,),
        "decimal": (types.is_floating, types.is_decimal),
        "yes/no": (types.is_boolean,),
        "date": (types.is_date, types.is_timestamp),
    }
    return next((kind for kind, tests in kinds.items() if any(test(arrow_type) for test in tests)), None)


def _field_name(heading: str, number: int) -> str:
    name = re.sub(r"\W+", "_", heading.strip().lower()).strip("_") or f"column_{number}"
    while len(name.encode()) > LONGEST_FIELD:
        name = name[:-1]
    return f"table_{name}" if name in RESERVED else name


def _mixed(cells: Sequence[str]) -> tuple[str, str] | None:
    """Two cells of different kinds; none where all are alike."""
    kinds: dict[Kind, str] = {}
    for cell in dict.fromkeys(cells):
        kinds.setdefault(next((kind for kind in _TRIED if read(cell, kind) is not None), "text"), cell)
        if len(kinds) > 1:
            one, other = kinds.values()
            return one[:_MENTIONED], other[:_MENTIONED]
    return None
