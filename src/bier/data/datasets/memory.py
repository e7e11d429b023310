"""Tables in memory: pandas, polars, pyarrow, or a list of (path, label)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bier.data.datasets import table
from bier.data.datasets.arrow_columns import SHOWN, bytes_field, check_type
from bier.errors import DataError
from bier.system.files import write_atomically

NAME = "table"
"""What messages call such a source."""


def as_arrow(source: Any) -> Any:
    """A pyarrow table of what is known of pictures: ``image``, as absolute paths, ``label``, ``split`` and so on.

    Args:
        source: a pandas DataFrame, whose index is passed over; anything else that offers Arrow's C stream, as tables of
            polars and pyarrow do; or a sequence of (path, label). Relative paths are relative to the working directory.

    Raises:
        DataError: it is none of these.
    """
    import pyarrow as arrow

    columns = _columns(source)
    names = [str(name) for name, _ in columns]
    return arrow.Table.from_arrays([_values(name, column) for name, column in columns], names=names)


def save(source: Any, file: Path) -> Path:
    """The table as a Parquet file, from which a run can be resumed; raises as `as_arrow`."""
    from pyarrow import parquet

    found = as_arrow(source)
    found = found.select([i for i, name in enumerate(found.column_names) if table.plain_name(name) in table.KNOWN])
    write_atomically(file, lambda place: parquet.write_table(found, place))
    return file


def _columns(source: Any) -> list[tuple[Any, Any]]:
    """Names and columns. One name may occur twice, which is a mistake that `table` tells of."""
    import pyarrow as arrow

    if hasattr(source, "iloc") and hasattr(source, "columns"):  # pandas, where a column may hold any objects
        return list(source.items())
    if hasattr(source, "__arrow_c_stream__"):
        try:
            found = arrow.table(source)
        except (arrow.ArrowException, TypeError, ValueError) as error:
            raise _no_source(source) from error
        return list(zip(found.column_names, found.columns, strict=True))
    pairs = _pairs(source)
    return [("image", [os.fspath(path) for path, _ in pairs]), ("label", [label for _, label in pairs])]


def _values(name: Any, column: Any) -> Any:
    """A column as an Arrow array. Columns that nobody reads are emptied: they may be large, or of any kind."""
    import pyarrow as arrow

    known = table.plain_name(str(name))
    if known not in table.KNOWN:
        return arrow.nulls(len(column))
    if not isinstance(column, arrow.ChunkedArray):
        column = _array(column, paths=known == "image")
    if known == "image":
        _refuse_pictures(column.type)
    return _absolute(column) if known == "image" else column


def _refuse_objects(cells: Iterable[Any]) -> None:
    other = next((cell for cell in cells if not isinstance(cell, str | os.PathLike)), None)
    if other is not None:
        remedy = "give the paths of files"
        raise DataError(f"the column 'image' holds values of type {type(other).__name__}", where=NAME, remedy=remedy)


def _refuse_pictures(kind: Any) -> None:
    check_type("image", kind, Path(NAME))
    if bytes_field("image", kind):
        raise DataError(
            f"the column 'image' holds pictures themselves ({kind!s:.{SHOWN}})",
            where=NAME,
            remedy="write the table to a Parquet file, 100 rows in a row group, and give its path",
        )


def _array(column: Any, paths: bool) -> Any:
    """An Arrow array of a pandas column or a list, where None and NaN are missing; as text if need be.

    Raises:
        DataError: there should be paths, and there are other objects.
    """
    import pyarrow as arrow

    try:
        return arrow.array(column, from_pandas=True)
    except (arrow.ArrowException, TypeError, ValueError, OverflowError):  # paths, or values of several types
        missing = list(column.isna() if hasattr(column, "isna") else map(_is_missing, column))
        if paths:
            _refuse_objects(cell for cell, gone in zip(column, missing, strict=True) if not gone)
        cells = [None if gone else str(cell) for cell, gone in zip(column, missing, strict=True)]
        return arrow.array(cells, arrow.string())


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _absolute(paths: Any) -> Any:
    import pyarrow as arrow

    texts = ["" if path is None else str(path).strip() for path in paths.to_pylist()]
    return arrow.array([os.path.abspath(text) if text else None for text in texts], arrow.string())


def _pairs(source: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        for row, pair in enumerate(source, 1):
            fits = isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str | os.PathLike)
            if not fits:
                raise DataError(
                    f"{pair!r:.80} is no pair of a path and a label",
                    where=f"{NAME}, row {row}",
                    remedy="give pairs such as ('photos/boot.jpg', 'boots')",
                )
        return source
    raise _no_source(source)


def _no_source(source: Any) -> DataError:
    return DataError(
        f"a {type(source).__name__} is no source of pictures",
        where=NAME,
        remedy="give a path, a table of pandas, polars or pyarrow, or a list of (path, label)",
    )
