"""Single cells of a Parquet file that holds pictures.

A Parquet file is read by row groups. Those that were read last are kept, so that neighbouring rows cost one reading.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import lru_cache
from itertools import accumulate
from threading import Lock
from typing import Any

import numpy as np

from bier.system import kept, places
from bier.system.places import is_url

KEPT_BYTES = 128 * 2**20
"""Of row groups in each process; the last one is kept whatever its size."""

LARGE = 64 * 2**20
"""A row group of more bytes makes reading in random order slow."""

Group = tuple[str, tuple[int, int], str, int]
"""File, its size and time of change, column, number of the row group."""

_kept: OrderedDict[Group, Any] = OrderedDict()
_lock = Lock()


def cell(file: str, column: str, row: int) -> bytes | None:
    """The bytes in one cell, or none where it is empty.

    Args:
        file: a Parquet file.
        column: its name; a field of a struct after a dot.
        row: 0 is the first.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or has no such column or row.
    """
    if is_url(file):
        state = places.state(file) or (0, 0)
    else:
        found = os.stat(file)
        state = found.st_size, found.st_mtime_ns
    starts = _starts(file, state)
    if not 0 <= row < starts[-1]:
        raise ValueError(f"there is no row {row + 1:,}")
    group = int(np.searchsorted(starts, row, side="right")) - 1
    data: bytes | None = _values((file, state, column, group))[row - starts[group]].as_py()
    return data


@lru_cache(maxsize=64)
def _starts(file: str, state: tuple[int, int]) -> list[int]:
    """The first row of each row group, and the number of all rows."""
    from pyarrow import parquet

    about = parquet.read_metadata(places.opened(file))
    return list(accumulate((about.row_group(number).num_rows for number in range(about.num_row_groups)), initial=0))


def _values(key: Group) -> Any:
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    values = _read(key)
    with _lock:
        _kept[key] = values
        while len(_kept) > 1 and sum(group.nbytes for group in _kept.values()) > KEPT_BYTES:
            _kept.popitem(last=False)
    return values


def _read(key: Group) -> Any:
    """The column of a row group as an Arrow array of bytes; of a file in a bucket one that is mapped from this disk.

    A row group is fetched whole, so pictures in random order would fetch all of it for each.
    """
    import pyarrow as arrow

    file, _, column, group = key
    if not is_url(file):
        return _read_group(key)
    stream = kept.made(file, f"{column} {group}", lambda: _as_stream(_read_group(key)))
    try:
        source = arrow.py_buffer(stream) if isinstance(stream, bytes) else arrow.memory_map(str(stream))
        return arrow.ipc.open_stream(source).read_all().column(0).combine_chunks()
    except (arrow.ArrowException, OSError):  # somebody has removed or damaged what was kept
        return _read_group(key)


def _as_stream(values: Any) -> bytes:
    import pyarrow as arrow

    table, stream = arrow.table({"picture": values}), arrow.BufferOutputStream()
    with arrow.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    found: bytes = stream.getvalue().to_pybytes()
    return found


def _read_group(key: Group) -> Any:
    import pyarrow as arrow
    from pyarrow import parquet

    file, _, column, group = key
    try:
        with parquet.ParquetFile(places.opened(file)) as opened:
            # Without threads of its own: this runs in processes that were forked.
            found = opened.read_row_group(group, columns=[column], use_threads=False)
    except arrow.ArrowException as error:
        raise ValueError(f"damaged ({error})") from error
    if not found.num_columns:
        raise ValueError(f"there is no column {column!r}")
    values = found.column(0).combine_chunks()
    _, _, field = column.partition(".")
    return values.field(field) if field else values
