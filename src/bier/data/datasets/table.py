"""A CSV or Parquet file with a row for each picture.

Columns ``image`` and ``label`` are needed. ``split``, ``group``, ``name`` and a box (``bbox`` as ``"x y w h"``, or four
columns ``x``, ``y``, ``width``, ``height``, the last two also as ``w``, ``h``; pixels) may follow, in any order; other
columns are passed over. Paths are relative to the file's folder, or absolute. Labels are text: ``001`` stays ``001``.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from bier.data.datasets.annotations import RowFaults, read_text
from bier.data.datasets.reader import Reader
from bier.data.manifest import SPLIT_NAMES, SPLITS, Manifest
from bier.errors import DataError, nearest

LABELS = "labels.csv"
"""In a folder, the table of its pictures."""
NEEDED = ("image", "label")
SIDES = ("x", "y", "w", "h")
SPELLED_OUT = {"width": "w", "height": "h"}
NO_BOX = [math.nan] * 4


@dataclass(frozen=True)
class Table:
    """Text cells under names in lower case, without the white space around them; ``row`` numbers them for messages."""

    file: Path
    row: Sequence[int]
    cells: dict[str, list[str]]


def read_csv(file: Path, faulty: RowFaults | None = None) -> Manifest:
    """A CSV file, with a header line; commas, semicolons or tabs between the cells.

    Args:
        file: with a row for each picture.
        faulty: gets the rows that are faulty, which are then left out; none given: they are an error.

    Raises:
        DataError: it cannot be read, a column is missing, or rows are faulty (the first ten are named).
    """
    text = read_text(file)
    header_line = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header_line.count))
    faults = RowFaults(file) if faulty is None else faulty
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        header = next(reader, [])
        last = reader.line_num
        for cells in reader:
            # A quoted cell may hold line feeds: the row starts after the line where the last one ended.
            number, last = last + 1, reader.line_num
            if not any(cells):  # spreadsheets leave rows of bare commas
                continue
            if len(cells) == len(header):
                rows.append(cells)
                numbers.append(number)
            else:
                faults.add(number, f"{len(cells)} cells under {len(header)} columns")
    except csv.Error as error:
        raise DataError(
            f"not a CSV file: {error}",
            where=f"{file}, row {reader.line_num}",
            remedy="save it again, with a closing quote for each opening one",
        ) from error
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    return _manifest(_table(file, numbers, header, columns), faults, lenient=faulty is not None)


def read_parquet(file: Path, faulty: RowFaults | None = None) -> Manifest:
    """A Parquet file: one that ``Manifest.save`` wrote, or any other with the columns above. Rows count from 1.

    Args:
        file: with a row for each picture.
        faulty: as for `read_csv`.

    Raises:
        DataError: it cannot be read, a column is missing, or rows are faulty (the first ten are named).
    """
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        if b"bier" in (parquet.read_schema(file).metadata or {}):
            return Manifest.load(file)
        table = parquet.read_table(file)
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=file, remedy="write it again") from error
    return from_arrow(table, file, faulty)


def from_arrow(table: Any, file: Path, faulty: RowFaults | None = None) -> Manifest:
    """A pyarrow table with the columns above; ``file`` is where it comes from, for messages and relative paths.

    Raises:
        DataError: as `read_parquet`.
    """
    # By position: a name may occur twice. Other columns may be large, and are not looked at.
    columns = [
        [_text(cell) for cell in column.to_pylist()] if plain_name(name) in KNOWN else [""] * len(table)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    faults = RowFaults(file) if faulty is None else faulty
    lenient = faulty is not None
    return _manifest(_table(file, range(1, len(table) + 1), table.column_names, columns), faults, lenient=lenient)


KNOWN = (*NEEDED, "split", "group", "name", "bbox", *SIDES)


def plain_name(name: str) -> str:
    """A column's name as this module knows it: lower case, without white space, ``w`` for ``width``."""
    plain = name.strip().casefold()
    return SPELLED_OUT.get(plain, plain)


def _text(cell: Any) -> str:
    """What a CSV file would hold; a whole number that missing cells turned into a float is whole again."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, list | tuple):
        return " ".join(map(str, cell))
    return str(cell)


def _table(file: Path, numbers: Sequence[int], header: Sequence[str], columns: Sequence[Sequence[str]]) -> Table:
    names = [plain_name(name) for name in header]
    twice = sorted({name for name in names if name in KNOWN and names.count(name) > 1})
    if twice:
        raise DataError(f"there are two columns {twice[0]!r}", where=file, remedy="rename or remove one of them")
    for need in NEEDED:
        if need not in names:
            _refuse_missing(file, need, names)
    # A misspelt split would put the test pictures into training, and nobody would notice.
    if "split" not in names and (close := get_close_matches("split", names, n=1, cutoff=0.75)):
        raise DataError(f"unknown column {close[0]!r}", where=file, remedy="did you mean 'split'? Rename the column")
    cells = {name: [cell.strip() for cell in column] for name, column in zip(names, columns, strict=True)}
    return Table(file, numbers, cells)


def _refuse_missing(file: Path, need: str, names: Sequence[str]) -> None:
    close = get_close_matches(need, names, n=1, cutoff=0.5)
    found = ", ".join(map(repr, names)) or "none"
    raise DataError(
        f"there is no column {need!r}; the columns are {found}",
        where=file,
        remedy=f"rename the column {close[0]!r} to {need!r}"
        if close
        else "the first line should name the columns: image,label (and split, group, name, bbox where you have them)",
    )


def _manifest(table: Table, faults: RowFaults, *, lenient: bool) -> Manifest:
    for column in NEEDED:
        for row, cell in zip(table.row, table.cells[column], strict=True):
            if not cell or "\0" in cell:
                faults.add(row, f"the {column} is missing" if not cell else f"the {column} holds a zero byte")
    splits = _splits(table, faults)
    boxes = _boxes(table, faults)
    faults.found.sort(key=lambda fault: fault[0])
    if not lenient:
        faults.refuse("mend or remove these rows; a row has as many cells as there are columns")
    manifest = Manifest.of(
        table.file.parent,
        f"{table.file.parent.name}/{table.file.name}",
        image=table.cells["image"],
        label=table.cells["label"],
        split=splits,
        row=table.row,
        group=table.cells.get("group"),
        bbox=boxes,
        name=table.cells.get("name"),
    )
    wrong = {row for row, _ in faults.found}
    return manifest.take(np.array([row not in wrong for row in table.row], dtype=bool)) if wrong else manifest


def _splits(table: Table, faults: RowFaults) -> list[str] | None:
    if "split" not in table.cells:
        return None
    splits: list[str] = []
    for row, cell in zip(table.row, table.cells["split"], strict=True):
        split = SPLIT_NAMES.get(cell.casefold(), "")
        splits.append(split)
        if not cell:
            faults.add(row, "the split is missing")
        elif not split:
            faults.add(row, f"unknown split {cell!r}: {nearest(cell.casefold(), SPLITS)}")
    return splits


def _boxes(table: Table, faults: RowFaults) -> list[list[float]] | None:
    if "bbox" in table.cells:
        texts = table.cells["bbox"]
    elif all(side in table.cells for side in SIDES):
        texts = [" ".join(cells) for cells in zip(*(table.cells[side] for side in SIDES), strict=True)]
    else:
        return None
    boxes: list[list[float]] = []
    for row, text in zip(table.row, texts, strict=True):
        box = _box(text)
        boxes.append(box or NO_BOX)
        if box is None:
            faults.add(row, f"not a box of x, y, width, height in pixels: {text.strip()[:60]!r}")
    return boxes


def _box(text: str) -> list[float] | None:
    """Four numbers, NaN for an empty text, or none where the text is no box."""
    fields = re.split(r"[\s,;]+", text.strip().strip("[]()").strip())
    if fields == [""]:
        return NO_BOX
    try:
        box = [float(field) for field in fields]
    except ValueError:
        return None
    return box if len(box) == 4 and all(map(math.isfinite, box)) and box[2] > 0 and box[3] > 0 else None


def _is_csv(path: Path) -> bool:
    return (path / LABELS).is_file() or (path.is_file() and path.suffix.lower() in (".csv", ".tsv"))


def _is_parquet(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".parquet"


MEMBERS = {
    "csv": Reader(_is_csv, lambda path, _, faulty: read_csv(path / LABELS if path.is_dir() else path, faulty)),
    "parquet": Reader(_is_parquet, lambda path, _, faulty: read_parquet(path, faulty)),
}
