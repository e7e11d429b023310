"""Single cells of an Arrow stream, as `datasets` of Hugging Face writes them; the file is mapped and not read whole."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

END = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of every stream that was written to its end."""


def arrow_cell(file: str, column: str, row: int) -> bytes | None:
    """The bytes in one cell, or none where it is empty.

    Args:
        file: an Arrow stream.
        column: its name; a field of a struct after a dot.
        row: 0 is the first.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or has no such column or row.
    """
    found = os.stat(file)
    values = _values(file, (found.st_size, found.st_mtime_ns), column)
    if not 0 <= row < len(values):
        raise ValueError(f"there is no row {row + 1:,}")
    data: bytes | None = values[row].as_py()
    return data


def mapped(file: str) -> Any:
    """The ``pyarrow.Table`` of a stream, whose bytes stay in the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such stream, or it was cut off.
    """
    import pyarrow as arrow

    if not os.path.getsize(file):
        raise ValueError("the file is empty")
    source = arrow.memory_map(file)
    try:
        table = arrow.ipc.open_stream(source).read_all()
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"no readable Arrow stream, or cut off ({error})") from error
    source.seek(source.size() - len(END))
    if source.read(len(END)) != END:
        raise ValueError("the Arrow stream has no end, so it was cut off")
    return table


def of_column(table: Any, column: str) -> Any:
    """A column of a table as a ``pyarrow.ChunkedArray``; a field of a struct after a dot."""
    import pyarrow.compute as compute

    name, _, field = column.partition(".")
    if name not in table.column_names:
        raise ValueError(f"there is no column {name!r}")
    values = table.column(name)
    return compute.struct_field(values, field) if field else values


@lru_cache(maxsize=64)
def _values(file: str, state: tuple[int, int], column: str) -> Any:
    return of_column(mapped(file), column)
