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

from bier.system import places
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
    """The column of a row group as an Arrow array of bytes."""
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
