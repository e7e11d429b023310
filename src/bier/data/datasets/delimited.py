"""Text with a header line and cells between delimiters, as spreadsheets and other programs write it."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from bier.errors import DataError

DELIMITERS = ",;\t|"

_END = "\0end\n"
"""A line after the last one; where it is not a row of its own, a quote is still open."""


class Rows(NamedTuple):
    """The cells of a table."""

    header: list[str]
    rows: list[tuple[int, int, list[str]]]
    """First and last line, and the cells; 1 is the first line of the file."""


def read_rows(text: str, file: Path, known: Callable[[str], bool]) -> Rows:
    """Header and rows, cut at the delimiter whose header has the most known columns.

    A first line such as ``sep=;``, which Excel writes for itself, is passed over. So are rows without any content.

    Args:
        text: of the whole file, its lines ended by line feeds.
        file: for messages.
        known: whether a column of this name is looked for.

    Raises:
        DataError: a quote is opened and never closed.
    """
    named = re.match(r'"?sep=(.)"?[,;\t|]*\n', text, re.IGNORECASE)
    given = named[1] if named else ""
    text = text[named.end() :] if named else text
    with _long_cells():
        headers = {delimiter: _header(text, delimiter) for delimiter in dict.fromkeys(given + DELIMITERS)}
        delimiter = max(headers, key=lambda by: (sum(map(known, headers[by])), len(headers[by])))
        found = list(_rows(text, delimiter, file, first=2 if named else 1))
    header, *rows = found or [(1, 1, [])]
    return Rows(header[2], rows)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Cells of any length: the limit of 131,072 characters is for other kinds of files."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _header(text: str, delimiter: str) -> Sequence[str]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return next((cells for cells in reader if any(cells)), [])
    except csv.Error:
        return []


def _rows(text: str, delimiter: str, file: Path, first: int) -> Iterator[tuple[int, int, list[str]]]:
    reader = csv.reader(chain(io.StringIO(text, newline=""), [_END]), delimiter=delimiter)
    begin = first
    try:
        for cells in reader:
            # A quoted cell may hold line feeds: the row starts after the line where the last one ended.
            end = reader.line_num + first - 1
            if cells and cells[-1].endswith(_END):
                raise DataError(
                    "a quote is opened here and closed nowhere",
                    where=f"{file}, row {begin}",
                    remedy='close it, or write a quote that belongs to the text as ""',
                )
            if any(cells) and cells != [_END.strip()]:  # spreadsheets leave rows of bare commas
                yield begin, end, cells
            begin = end + 1
    except csv.Error as error:
        raise DataError(
            f"not a CSV file: {error}", where=f"{file}, row {begin}", remedy="save it again as CSV"
        ) from error
