"""A CSV or Parquet file with a row for each picture.

Columns ``image`` and ``label`` are needed; where pictures are only searched, ``image`` alone. ``split``, ``group``,
``name`` and a box (``bbox`` as ``"x y w h"``, or four columns ``x``, ``y``, ``width``, ``height``, the last two also as
``w``, ``h``; pixels) may follow, in any order. Paths are relative to the file's folder, or absolute. Labels are text:
``001`` stays ``001``. All columns but image and label can be read as fields of an index; training passes over those
that it does not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from bier.data.columns import MISSING, Column, field_names, kind_of
from bier.data.datasets import table_splits
from bier.data.datasets.annotations import RowFaults, read_text
from bier.data.datasets.arrow_columns import check_type, class_names, is_list
from bier.data.datasets.delimited import read_rows
from bier.data.datasets.label_columns import ONE_LABEL, LabelColumns
from bier.data.datasets.layout import plain_label
from bier.data.datasets.parquet_pictures import Pictures, find_pictures
from bier.data.datasets.plain_csv import LONGEST_PATH, read_plain
from bier.data.datasets.reader import Reader
from bier.data.manifest import Manifest
from bier.errors import DataError
from bier.settings.schema import DataConfig
from bier.system import places

LABELS = "labels.csv"
"""In a folder, the table of its pictures."""
NEEDED = ("image", "label")
SIDES = ("x", "y", "w", "h")
SPELLED_OUT = {"width": "w", "height": "h"}
NO_BOX = [math.nan] * 4
KNOWN = frozenset((*NEEDED, "group", "name", "bbox", *SIDES, *table_splits.COLUMNS))
"""Columns that are read."""
SHOWN = 60
"""Characters of a cell, or columns of a table, that a message spells out."""


@dataclass(frozen=True)
class Wanted:
    """What is read of a table, beside its pictures."""

    needed: Sequence[str] = NEEDED
    """Columns without which there is no use in it; a missing label is an empty one."""
    fields: bool = False
    """Whether all columns are read, for an index."""
    but: Collection[str] = ()
    """Columns of which no fields are made."""
    labels: LabelColumns = ONE_LABEL
    """Where its labels are."""

    @classmethod
    def of(cls, config: DataConfig) -> Wanted:
        """For training, as settings have it; raises as `LabelColumns.of`."""
        return cls(labels=LabelColumns.of(config))

    @property
    def known(self) -> frozenset[str]:
        """Columns that are read."""
        return KNOWN.union(self.labels.names)


FOR_TRAINING = Wanted()


@dataclass(frozen=True)
class Table:
    """Text cells under names in lower case, without the white space around them; ``row`` numbers them for messages."""

    file: Path
    row: Sequence[int]
    names: Sequence[str]
    """Of all columns."""
    cells: dict[str, list[str]]
    """Of those that are known."""
    wanted: Wanted
    notes: list[str] = field(default_factory=list)
    fields: Sequence[Column] = ()


def read_csv(file: Path, faulty: RowFaults | None = None, wanted: Wanted = FOR_TRAINING) -> Manifest:
    """A CSV file, with a header line; commas, semicolons, tabs or ``|`` between the cells.

    Args:
        file: with a row for each picture.
        faulty: gets the rows that are faulty, which are then left out; none given: they are an error.
        wanted: what is read of it.

    Raises:
        DataError: it cannot be read, a column is missing, two fields would have one name, or rows are faulty (the first
            ten are named).
    """
    if not wanted.labels.names and (plain := read_plain(file, wanted.needed)) is not None:
        return plain
    known = wanted.known
    found = read_rows(read_text(file), file, lambda name: plain_name(name) in known)
    faults = RowFaults(file) if faulty is None else faulty
    sound = []
    for begin, end, cells in found.rows:
        if len(cells) == len(found.header):
            sound.append((begin, cells))
        else:
            lines = f", in lines {begin} to {end}" if end > begin else ""
            faults.add(begin, f"{len(cells)} cells under {len(found.header)} columns{lines}")
    names = _checked_names(file, found.header, wanted)
    columns = {
        name: [cells[position].strip() for _, cells in sound] for position, name in enumerate(names) if name in known
    }
    rows = [cells for _, cells in sound]
    found_fields = _fields_of_cells(found.header, names, rows, file, wanted.but) if wanted.fields else []
    table = Table(file, [number for number, _ in sound], names, columns, wanted, fields=found_fields)
    return _manifest(table, faults, lenient=faulty is not None)


def read_parquet(file: Path, faulty: RowFaults | None = None, wanted: Wanted = FOR_TRAINING) -> Manifest:
    """A Parquet file: one that ``Manifest.save`` wrote, or any other with the columns above. Rows count from 1.

    The column ``image`` may hold pictures themselves, as binary values or as ``struct<bytes, path>``.

    Args:
        file: with a row for each picture.
        faulty: as for `read_csv`.
        wanted: likewise; a column ``label`` of lists holds several labels in a row.

    Raises:
        DataError: it cannot be read, two fields would have one name, a column is missing or of a useless type, or rows
            are faulty (the first ten are named).
    """
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(places.opened(file)) as opened:
            if b"bier" not in (opened.schema_arrow.metadata or {}):
                columns = Columns(
                    opened.schema_arrow,
                    lambda names: opened.read(columns=names),
                    lambda column, kind: find_pictures(opened, column, kind, file),
                )
                return from_columns(columns, file, faulty, wanted)
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=file, remedy="write it again") from error
    return Manifest.load(file)


@dataclass(frozen=True)
class Columns:
    """A table of Arrow types whose columns are read when they are asked for."""

    schema: Any
    """A ``pyarrow.Schema``."""
    read: Callable[[list[str]], Any]
    """The columns of these names, as a ``pyarrow.Table``."""
    pictures: Callable[[str, Any], Pictures | None]
    """References to the pictures in a column of this name and type, or none where it holds paths."""


def from_columns(
    table: Columns, file: Path, faulty: RowFaults | None = None, wanted: Wanted = FOR_TRAINING
) -> Manifest:
    """A table in a file, as `read_parquet`; all arguments but the first are as there.

    Raises:
        DataError: likewise.
    """
    schema = table.schema
    names, known = _checked_names(file, schema.names, wanted), wanted.known
    kinds = {name: schema.field(number).type for number, name in enumerate(names) if name in known}
    for name, kind in kinds.items():
        check_type(name, kind, file)
    image = schema.names[names.index("image")]
    pictures = table.pictures(image, kinds["image"])
    read = [own for own, name in zip(schema.names, names, strict=True) if name in known]
    content = table.read([own for own in read if pictures is None or own != image])
    found, notes = _fields_of_arrow(table, names, file, wanted.but) if wanted.fields else ([], [])
    return _from_arrow(content, file, faulty, names, pictures, wanted, found, notes)


def from_arrow(table: Any, file: Path, faulty: RowFaults | None = None, wanted: Wanted = FOR_TRAINING) -> Manifest:
    """A pyarrow table with the columns above; ``file`` is where it comes from, for messages and relative paths.

    Raises:
        DataError: as `read_parquet`.
    """
    names = _checked_names(file, table.column_names, wanted)
    for name, own in zip(names, table.schema, strict=True):
        if name in wanted.known:
            check_type(name, own.type, file)
    return _from_arrow(table, file, faulty, names, None, wanted)


def _from_arrow(
    table: Any,
    file: Path,
    faulty: RowFaults | None,
    names: Sequence[str],
    pictures: Pictures | None,
    wanted: Wanted,
    fields: Sequence[Column] = (),
    about_fields: Sequence[str] = (),
) -> Manifest:
    """Of a table whose columns have sound types; ``names`` are those of all columns, read or not."""
    faults = RowFaults(file) if faulty is None else faulty
    known = wanted.known
    columns = {
        name: wanted.labels.lists(column, file, faults)
        if name == "label" and is_list(column.type)
        else [_text(cell).strip() for cell in column.to_pylist()]
        for own, column in zip(table.column_names, table.columns, strict=True)
        if (name := plain_name(own)) in known
    }
    if pictures is not None:
        columns["image"] = pictures.images
    rows = range(1, len(columns["image"]) + 1)
    for own in table.column_names:
        if plain_name(own) == "label" and (classes := class_names(table.schema, own)):
            _name_classes(columns, classes, rows, faults)
    notes = [*about_fields, *([] if pictures is None else pictures.notes)]
    table_of_text = Table(file, rows, names, columns, wanted, notes, fields)
    return _manifest(table_of_text, faults, lenient=faulty is not None)


def _fields_of_cells(
    header: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], file: Path, but: Collection[str]
) -> list[Column]:
    fields = _field_places(header, names, file, but)
    return [Column.of_cells(name, [cells[place].strip() for cells in rows]) for name, place in fields.items()]


def _fields_of_arrow(
    table: Columns, names: Sequence[str], file: Path, but: Collection[str]
) -> tuple[list[Column], list[str]]:
    """Fields, and lines about columns that cannot be any. Only columns of which there is use are read."""
    schema = table.schema
    found: list[Column] = []
    notes = []
    for name, place in _field_places(schema.names, names, file, but).items():
        heading, kind = schema.names[place], schema.field(place).type
        column = None if kind_of(kind) is None else Column.of_arrow(name, table.read([heading]).column(0))
        if column is None:
            notes.append(f"left out: the column {heading[:SHOWN]!r}, of the type {kind!s:.{SHOWN}}")
        else:
            found.append(column)
    return found, notes


def _field_places(header: Sequence[str], names: Sequence[str], file: Path, but: Collection[str]) -> dict[str, int]:
    """What the columns but image, label and these are called as fields, and where they stand.

    Pictures have the label that a person calls it by, so where there is a column ``name``, the column ``label`` becomes
    a field ``class``.
    """
    places = [place for place, name in enumerate(names) if name not in NEEDED and name not in but]
    fields = dict(zip(field_names([header[place] for place in places], file), places, strict=True))
    if "name" in names and "label" in names and "class" not in fields:
        fields["class"] = names.index("label")
    return fields


def _name_classes(
    columns: dict[str, list[str]], classes: Sequence[str], rows: Sequence[int], faults: RowFaults
) -> None:
    """What people call the classes, beside their numbers; -1 is how Hugging Face writes a missing label."""
    known = {str(number): name for number, name in enumerate(classes)}
    columns.setdefault("name", [known.get(label, "") for label in columns["label"]])
    for row, label in zip(rows, columns["label"], strict=True):
        if label and label not in known:
            faults.add(row, f"the label {label} is none of the {len(classes):,} classes that the table names")


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
    if isinstance(cell, bytes):  # text that was written without saying so
        return cell.decode("utf-8", "replace")
    return str(cell)


def _checked_names(file: Path, header: Sequence[str], wanted: Wanted) -> list[str]:
    """The plain names of columns.

    Raises:
        DataError: one that is needed is missing, or a known one is there twice.
    """
    names = [plain_name(name) for name in header]
    twice = sorted({name for name in names if name in KNOWN and names.count(name) > 1})
    if twice:
        raise DataError(f"there are two columns {twice[0]!r}", where=file, remedy="rename or remove one of them")
    for need in wanted.labels.needed(wanted.needed):
        if need not in names:
            _refuse_missing(file, need, names)
    wanted.labels.check(names, file)
    return names


def _refuse_missing(file: Path, need: str, names: Sequence[str]) -> None:
    close = get_close_matches(need, names, n=1, cutoff=0.7)
    shown = [repr(name[:SHOWN]) for name in names[:SHOWN]] + ["and others"] * (len(names) > SHOWN)
    raise DataError(
        f"there is no column {need!r}; the columns are {', '.join(shown) or 'none'}",
        where=file,
        remedy=f"rename the column {close[0]!r} to {need!r}"
        if close
        else "the first line should name the columns: image,label (and split, group, name, bbox where you have them)",
    )


def _manifest(table: Table, faults: RowFaults, *, lenient: bool) -> Manifest:
    if table.wanted.labels.names:
        table.cells["label"] = table.wanted.labels.joined(table.cells, table.row, faults)
    _check_needed(table, faults)
    labels = table.cells.get("label", [""] * len(table.row))
    splits, notes = table_splits.read_splits(table.cells, table.names, table.row, table.file, faults)
    boxes = _boxes(table, faults)
    for column in table.fields:
        for position, fault in column.faults():
            faults.add(table.row[position], fault)
    faults.found.sort(key=lambda fault: fault[0] or 0)
    if not lenient:
        faults.refuse("mend or remove these rows; a row has as many cells as there are columns")
    manifest = Manifest.of(
        table.file.parent,
        f"{table.file.parent.name}/{table.file.name}",
        image=table.cells["image"],
        label=["" if label in MISSING else plain_label(label) for label in labels],
        split=splits,
        row=table.row,
        group=table.cells.get("group"),
        bbox=boxes,
        name=table.cells.get("name"),
        notes=[*table.notes, *notes],
        fields=table.fields,
    )
    wrong = {row for row, _ in faults.found}
    return manifest.take(np.array([row not in wrong for row in table.row], dtype=bool)) if wrong else manifest


def _check_needed(table: Table, faults: RowFaults) -> None:
    for column in table.wanted.labels.needed(table.wanted.needed):
        for row, cell in zip(table.row, table.cells[column], strict=True):
            if not cell:
                faults.add(row, f"the {column} is missing")
            elif cell in MISSING:
                faults.add(row, f"the {column} is missing: {cell!r} is how pandas writes that")
            elif "\0" in cell:
                faults.add(row, f"the {column} holds a zero byte")
            elif column == "image" and (len(cell) > LONGEST_PATH or "\n" in cell):
                faults.add(row, f"{len(cell):,} characters are no path: {cell[:SHOWN]!r}...")


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
            faults.add(row, f"not a box of x, y, width, height in pixels: {text.strip()[:SHOWN]!r}")
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


MEMBERS = {
    "csv": Reader(
        _is_csv,
        lambda path, config, faulty: read_csv(path / LABELS if path.is_dir() else path, faulty, Wanted.of(config)),
    ),
}
