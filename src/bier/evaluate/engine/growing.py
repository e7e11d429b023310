"""Columns of numbers that grow rarely: many small arrays between large ones would leave holes in the memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Growing:
    """A table whose rows come in many small portions.

    Args:
        dtypes: of the columns.
        room: rows to begin with.
    """

    def __init__(self, *dtypes: DTypeLike, room: int) -> None:
        self._columns: list[NDArray[Any]] = [np.empty(room, dtype) for dtype in dtypes]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def arrays(self) -> list[NDArray[Any]]:
        """The columns, as views."""
        return [column[: self._count] for column in self._columns]

    def fits(self, more: int) -> bool:
        return self._count + more <= len(self._columns[0])

    def reserve(self, more: int) -> None:
        """Make room for so many rows, and for as many as there are."""
        missing = self._count + max(more, self._count) - len(self._columns[0])
        if missing > 0:
            self._columns = [np.pad(column, (0, missing)) for column in self._columns]

    def add(self, *columns: NDArray[Any]) -> None:
        """Append rows for which there is room."""
        end = self._count + len(columns[0])
        for own, values in zip(self._columns, columns, strict=True):
            own[self._count : end] = values
        self._count = end

    def keep(self, order: NDArray[np.int64]) -> None:
        """These rows alone, in this order."""
        for column in self._columns:
            column[: len(order)] = column[order]
        self._count = len(order)

    def clear(self) -> None:
        self._count = 0
