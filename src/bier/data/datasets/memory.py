"""Tables in memory: pandas, polars, pyarrow, or a list of (path, label)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bier.data.datasets import table
from bier.errors import DataError
from bier.system.files import write_atomically

NAME = "table"
"""What messages call such a source."""


def as_arrow(source: Any) -> Any:
    """A pyarrow table with text columns ``image``, as absolute paths, ``label``, and whatever else there is.

    Args:
        source: anything that offers Arrow's C stream, as tables of pandas, polars and pyarrow do; or a sequence of
            (path, label). Relative paths are relative to the working directory.

    Raises:
        DataError: it is neither, it has no column ``image``, or a column cannot be converted.
    """
    import pyarrow as arrow

    if hasattr(source, "__arrow_c_stream__"):
        try:
            found = arrow.table(source)
        except (arrow.ArrowException, TypeError, ValueError) as error:
            raise DataError(
                f"cannot be read: {error}", where=NAME, remedy="convert the column named above to text: .astype(str)"
            ) from error
        return _with_absolute_paths(found)
    pairs = _pairs(source)
    return _with_absolute_paths(
        arrow.table({"image": [os.fspath(path) for path, _ in pairs], "label": [str(label) for _, label in pairs]})
    )


def save(source: Any, file: Path) -> Path:
    """The table as a Parquet file, from which a run can be resumed; raises as `as_arrow`."""
    from pyarrow import parquet

    found = as_arrow(source)
    write_atomically(file, lambda place: parquet.write_table(found, place))
    return file


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
    raise DataError(
        f"a {type(source).__name__} is no source of pictures",
        where=NAME,
        remedy="give a path, a table of pandas, polars or pyarrow, or a list of (path, label)",
    )


def _with_absolute_paths(found: Any) -> Any:
    import pyarrow as arrow

    for place, name in enumerate(found.column_names):
        if table.plain_name(name) == "image":
            paths = [None if path is None else os.path.abspath(str(path)) for path in found.column(place).to_pylist()]
            found = found.set_column(place, name, arrow.array(paths, arrow.string()))
    return found
