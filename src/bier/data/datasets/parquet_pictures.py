"""Pictures themselves in a column of a Parquet file, as Hugging Face's tables hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bier.data.cells import LARGE
from bier.data.datasets.arrow_columns import bytes_field, is_bytes
from bier.data.references import parquet_uri

_LONGEST_PATH = 4096


@dataclass(frozen=True)
class Pictures:
    """The column ``image`` of a table that holds pictures."""

    images: list[str]
    """A reference for each row; a path where the row names a file instead; empty where there is neither."""
    notes: list[str] = field(default_factory=list)


def find_pictures(table: Any, column: str, kind: Any, file: Path) -> Pictures | None:
    """References to the pictures in a column, or none where it holds paths. No picture is read.

    Args:
        table: an open ``pyarrow.parquet.ParquetFile``.
        column: its own name for the pictures.
        kind: the column's type.
        file: the table's.
    """
    place = bytes_field(column, kind)
    if place is None or (is_bytes(kind) and _holds_text(table, column)):
        return None
    count = table.metadata.num_rows
    named = not is_bytes(kind) and "path" in [entry.name for entry in kind]
    paths = _field(table.read(columns=[f"{column}.path"]), "path") if named else [None] * count
    empty = _empty(table, place)
    images = [
        path or "" if row in empty else parquet_uri(file.name, place, row + 1, path or "")
        for row, path in enumerate(paths)
    ]
    return Pictures(images, _notes(table, place))


def _holds_text(table: Any, column: str) -> bool:
    """Whether the first value is a path: some programs write text without saying that it is text."""
    for batch in table.iter_batches(batch_size=1, columns=[column]):
        value = batch.column(0)[0].as_py()
        if value is not None:
            return len(value) <= _LONGEST_PATH and _is_text(value)
    return False


def _is_text(value: bytes) -> bool:
    try:
        return value.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _empty(table: Any, place: str) -> set[int]:
    """Rows without bytes. The file's statistics spare reading the pictures where there are none such."""
    empty: set[int] = set()
    first = 0
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        about = _chunk(group, place).statistics
        if about is None or about.null_count is None or about.null_count:
            row = first
            for batch in table.iter_batches(batch_size=256, row_groups=[number], columns=[place]):
                values = batch.column(0)
                missing = (values.field("bytes") if "." in place else values).is_null().to_pylist()
                empty.update(row + position for position, gone in enumerate(missing) if gone)
                row += len(missing)
        first += group.num_rows
    return empty


def _chunk(group: Any, place: str) -> Any:
    chunks = [group.column(number) for number in range(group.num_columns)]
    return next(chunk for chunk in chunks if chunk.path_in_schema == place)


def _field(table: Any, name: str) -> Sequence[str | None]:
    return [None if cell is None else cell[name] for cell in table.column(0).to_pylist()]


def _notes(table: Any, place: str) -> list[str]:
    groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
    largest = max((_chunk(group, place).total_uncompressed_size for group in groups), default=0)
    if largest <= LARGE:
        return []
    size = f"{largest / 2**20:,.0f} MB"
    return [
        f"training reads whole row groups, here of up to {size}, and is slow: write the table with 100 rows in each"
    ]
