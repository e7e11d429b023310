"""Where the labels of a row stand: in one cell, in a list, or in a column each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bier.data.datasets.annotations import RowFaults
from bier.errors import DataError, nearest
from bier.settings.schema import DataConfig

YES = frozenset({"yes", "true", "1", "y"})
NO = frozenset({"no", "false", "0", "n"})


@dataclass(frozen=True)
class LabelColumns:
    """The columns that labels are in, and what is put between the labels of a row."""

    names: tuple[str, ...] = ()
    """Plain names; none: the column ``label``."""
    separator: str | None = None

    @classmethod
    def of(cls, config: DataConfig) -> LabelColumns:
        """As settings have it.

        Raises:
            DataError: columns, and nothing to put between their labels.
        """
        if config.label_columns and config.label_separator is None:
            raise DataError(
                "several columns of labels, and nothing that separates labels",
                where="data.label_columns",
                remedy="add --set 'data.label_separator=|', or another sign that is in no label",
            )
        return cls(tuple(name.strip().casefold() for name in config.label_columns), config.label_separator)

    def needed(self, needed: Sequence[str]) -> tuple[str, ...]:
        """The columns that a table needs, where these are its labels."""
        return tuple(name for name in needed if name != "label" or not self.names)

    def check(self, names: Sequence[str], file: Path) -> None:
        """Refuse a table without one of the columns.

        Raises:
            DataError: one is not there.
        """
        for name in self.names:
            if name not in names:
                raise DataError(
                    f"there is no column {name!r}", where=f"{file}, data.label_columns", remedy=nearest(name, names)
                )

    def joined(self, cells: dict[str, list[str]], rows: Sequence[int], faults: RowFaults) -> list[str]:
        """One cell of labels for each row: the cells of these columns, and the names of those that say yes."""
        assert self.separator is not None
        yes_or_no = {name for name in self.names if all(cell.casefold() in YES | NO | {""} for cell in cells[name])}
        joined = []
        for place, row in enumerate(rows):
            labels = [
                (name if cells[name][place].casefold() in YES else "") if name in yes_or_no else cells[name][place]
                for name in self.names
            ]
            joined.append(self.join(labels, row, faults))
            if not joined[-1]:
                faults.add(row, f"none of the columns {', '.join(map(repr, self.names))} gives a label")
        return joined

    def join(self, labels: Sequence[str], row: int, faults: RowFaults) -> str:
        """The labels of a row in one cell."""
        assert self.separator is not None
        for label in labels:
            if self.separator in label:
                faults.add(row, f"the label {label!r} holds {self.separator!r}, which is to separate labels")
        return self.separator.join(label for label in labels if label)

    def lists(self, column: Any, file: Path, faults: RowFaults) -> list[str]:
        """Cells of an Arrow column of lists of texts.

        Raises:
            DataError: nothing separates labels.
        """
        if self.separator is None:
            raise DataError(
                "the column 'label' holds lists: several labels a picture",
                where=file,
                remedy="say what is to separate them: --set 'data.label_separator=|', or --label-separator of an index",
            )
        rows = enumerate(column.to_pylist(), 1)
        return [self.join([str(label).strip() for label in labels or ()], row, faults) for row, labels in rows]


ONE_LABEL = LabelColumns()
"""A cell of the column ``label`` is one label."""
