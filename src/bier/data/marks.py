"""Marks that people made on search results: a table of pairs, right or wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bier.data.box import Box, checked_box
from bier.data.datasets.annotations import RowFaults, read_text
from bier.data.datasets.delimited import read_rows
from bier.errors import DataError, ImageError

NEEDED = ("query", "sha256", "result", "verdict")
COLUMNS = (*NEEDED, "box", "time")
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How cells begin that a spreadsheet would compute."""
VERDICTS = {"good": True, "bad": False}
REMEDY = "give the file that the search page's 'Download marked pairs' saves, or GET /api/marks.csv"


@dataclass(frozen=True)
class Mark:
    """A pair that somebody looked at."""

    row: int
    """Line of the file."""
    query: str
    """The id of the example; empty for an upload."""
    sha256: str
    """Of the upload; empty for a picture of the index."""
    box: Box | None
    """The part of the example that was meant."""
    result: str
    """The id of the hit."""
    same: bool
    """Whether it was marked as good: the two show the same."""
    time: str
    """When, as ISO 8601 in UTC; empty if the file does not say."""


def read_marks(file: Path) -> list[Mark]:
    """The marks of a server, as ``GET /api/marks.csv`` gives them.

    Raises:
        DataError: the file cannot be read, a column is missing, rows are faulty (the first ten are named), or there is
            no mark.
    """
    found = read_rows(read_text(file), file, lambda name: name.strip() in COLUMNS)
    names = [name.strip() for name in found.header]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise DataError(f"there is no column {missing[0]!r}", where=file, remedy=REMEDY)
    faults, marks = RowFaults(file), []
    for row, _, cells in found.rows:
        try:
            marks.append(_mark(row, dict(zip(names, map(unquoted, cells), strict=False))))
        except ValueError as error:
            faults.add(row, str(error))
    faults.refuse(REMEDY)
    if not marks:
        raise DataError("there are no marks", where=file, remedy="mark results on the search page first")
    return marks


def _mark(row: int, cells: dict[str, str]) -> Mark:
    if not all(name in cells for name in NEEDED):
        raise ValueError("too few cells")
    query, sha256, verdict = cells["query"], cells["sha256"], cells["verdict"]
    if verdict not in VERDICTS:
        raise ValueError(f"verdict {verdict[:80]!r} instead of {' or '.join(VERDICTS)}")
    if bool(query) == bool(sha256) or not cells["result"]:
        raise ValueError("needs a result, and either query or sha256")
    if sha256 and not (len(sha256) == 64 and all(letter in "0123456789abcdef" for letter in sha256)):
        raise ValueError(f"sha256 {sha256[:80]!r} is no hash")
    return Mark(
        row, query, sha256, _box(cells.get("box", "")), cells["result"], VERDICTS[verdict], cells.get("time", "")
    )


def _box(text: str) -> Box | None:
    if not text:
        return None
    try:
        return checked_box([float(number) for number in text.split()])
    except ImageError as error:
        raise ValueError(error.what) from None
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no box") from None


def quoted(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: such a one begins with an apostrophe."""
    return f"'{cell}" if cell.startswith(FORMULAS) else cell


def unquoted(cell: str) -> str:
    """The cell that `quoted` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULAS) else cell
