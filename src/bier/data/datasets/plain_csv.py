"""The plain kind of CSV file, read fast: text columns only, no quotes, nothing wrong in it.

Anything else is left to the careful reader in `bier.data.datasets.table`, which says what is wrong. What both can read,
they read alike.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bier.data.columns import MISSING
from bier.data.datasets.delimited import DELIMITERS
from bier.data.datasets.layout import plain_label
from bier.data.manifest import SPLIT_NAMES, UNDECIDED, Manifest

COLUMNS = frozenset({"image", "label", "split", "group", "name"})
"""A table with any other column is not plain."""
LONGEST_PATH = 4096

Texts = NDArray[np.object_]


def read_plain(file: Path, needed: Sequence[str]) -> Manifest | None:
    """The manifest of a plain CSV file, or none where the file is not plain.

    Args:
        file: with a row for each picture.
        needed: columns that must be there, with a value in every row.
    """
    try:
        data = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError:
        return None
    columns = _columns(data.replace(b"\r\n", b"\n") if b"\r" in data else data)
    if columns is None or not columns.keys() >= {*needed}:
        return None
    if any(not _filled(columns[name]) for name in needed) or not _short(columns["image"]):
        return None
    count = len(columns["image"])
    split = _each(columns["split"], lambda cell: SPLIT_NAMES.get(cell.casefold())) if "split" in columns else None
    if split is not None and None in split:
        return None
    return Manifest(
        root=file.parent,
        source=f"{file.parent.name}/{file.name}",
        image=columns["image"].to_numpy(zero_copy_only=False),
        label=_each(columns["label"], _label) if "label" in columns else np.full(count, "", dtype=object),
        split=np.full(count, UNDECIDED, dtype=object) if split is None else split,
        row=np.arange(2, count + 2),
        group=_each(columns["group"], str) if "group" in columns else None,
        name=_each(columns["name"], str) if "name" in columns else None,
    )


def _columns(data: bytes) -> dict[str, Any] | None:
    """Arrow arrays of the cells without the white space around them, by the columns' names."""
    import pyarrow as arrow
    from pyarrow import compute, csv

    names, delimiter = _header(data[: data.find(b"\n")].decode("utf-8", "replace"))
    if not {"image"} <= {*names} <= COLUMNS or len({*names}) < len(names) or _is_unusual(data):
        return None
    try:
        table = csv.read_csv(
            arrow.BufferReader(data),
            csv.ReadOptions(skip_rows=1, column_names=names),
            csv.ParseOptions(delimiter=delimiter, quote_char=False),
            csv.ConvertOptions(column_types=dict.fromkeys(names, arrow.string()), strings_can_be_null=False),
        )
    except arrow.ArrowException:  # such as rows of other lengths, or text in another encoding
        return None
    if not len(table):
        return None
    return {name: compute.utf8_trim_whitespace(table[name].combine_chunks()) for name in names}


def _header(line: str) -> tuple[list[str], str]:
    """Names of the columns and what stands between them, as the careful reader finds it."""
    headers = {by: [name.strip().casefold() for name in line.split(by)] for by in DELIMITERS}
    delimiter = max(headers, key=lambda by: (sum(name in COLUMNS for name in headers[by]), len(headers[by])))
    return headers[delimiter], delimiter


def _is_unusual(data: bytes) -> bool:
    """Quotes change how cells are cut, and empty lines how rows are numbered."""
    return any(mark in data for mark in (b'"', b"\0", b"\r", b"\n\n"))


def _filled(cells: Any) -> bool:
    from pyarrow import array, compute

    return not compute.any(compute.is_in(cells, value_set=array(["", *MISSING]))).as_py()


def _short(paths: Any) -> bool:
    from pyarrow import compute

    return bool(compute.max(compute.binary_length(paths)).as_py() <= LONGEST_PATH)


def _label(cell: str) -> str:
    return "" if cell in MISSING else plain_label(cell)


def _each(cells: Any, value: Callable[[str], str | None]) -> Texts:
    """The value of each cell, computed once for equal cells."""
    encoded = cells.dictionary_encode()
    values = np.array([value(cell) for cell in encoded.dictionary.to_pylist()], dtype=object)
    found: Texts = values[encoded.indices.to_numpy()]
    return found
