"""Which rows of a table are for training and which for testing, whatever the column is called that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from bier.data.datasets.annotations import RowFaults
from bier.data.manifest import SPLIT_NAMES, SPLITS, Split
from bier.errors import DataError, nearest

FLAGS: dict[str, Split] = {
    "is_test": "test",
    "is_testing": "test",
    "is_train": "train",
    "is_training": "train",
    "is_val": "val",
    "is_valid": "val",
    "is_validation": "val",
}
"""Columns of yes and no."""

SYNONYMS = ("set", "subset", "partition", "phase", "fold", "usage")
"""Columns that may hold the names of splits, or something else."""

COLUMNS = ("split", *FLAGS, *SYNONYMS)

_TRUTH = {"true": True, "yes": True, "1": True, "t": True, "y": True}
_TRUTH |= {"false": False, "no": False, "0": False, "f": False, "n": False, "1.0": True, "0.0": False}

Cells = Mapping[str, Sequence[str]]


def read_splits(
    cells: Cells, names: Sequence[str], rows: Sequence[int], file: Path, faults: RowFaults
) -> tuple[list[str] | None, list[str]]:
    """The split of each row, or none where the table says nothing, and notes about columns that are not used.

    A column ``split`` comes first; then columns such as ``is_test``; then one such as ``set`` or ``subset``, if all it
    holds are names of splits.

    Args:
        cells: text, by the names of columns; those in `COLUMNS` are looked at.
        names: of all columns.
        rows: numbers for messages.
        file: for messages.
        faults: gets the rows that cannot be understood.

    Raises:
        DataError: a column's name is nearly ``split``; two columns such as ``set`` could be meant.
    """
    naming = [name for name in SYNONYMS if name in cells and _names_splits(cells[name])]
    flags = [name for name in FLAGS if name in cells]
    used: list[str] = []
    splits = None
    if "split" in cells:
        splits, used = _named(cells["split"], rows, "split", faults), ["split"]
    elif close := get_close_matches("split", names, n=1, cutoff=0.75):
        # A misspelt split would put the test pictures into training, and nobody would notice.
        raise DataError(f"unknown column {close[0]!r}", where=file, remedy="did you mean 'split'? Rename the column")
    elif flags:
        splits, used = _flagged({name: cells[name] for name in flags}, rows, faults), flags
    elif len(naming) > 1:
        raise DataError(
            f"the columns {' and '.join(map(repr, naming))} both name splits",
            where=file,
            remedy="rename the right one to 'split'",
        )
    elif naming:
        splits, used = _named(cells[naming[0]], rows, naming[0], faults), naming
    return splits, _notes(cells, used)


def _names_splits(column: Sequence[str]) -> bool:
    return bool(column) and all(cell.casefold() in SPLIT_NAMES for cell in column)


def _notes(cells: Cells, used: Sequence[str]) -> list[str]:
    notes = []
    if used and used != ["split"]:
        notes.append(f"training and test as the {_listed(used)} {'say' if len(used) > 1 else 'says'}")
    if unused := [name for name in COLUMNS if name in cells and name not in used]:
        notes.append(f"passed over: the {_listed(unused)}; name it 'split' if it says what is for training")
    return notes


def _listed(names: Sequence[str]) -> str:
    return f"column{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"


def _named(column: Sequence[str], rows: Sequence[int], name: str, faults: RowFaults) -> list[str]:
    splits: list[str] = []
    for row, cell in zip(rows, column, strict=True):
        split = SPLIT_NAMES.get(cell.casefold(), "")
        splits.append(split)
        if not cell:
            faults.add(row, f"the {name} is missing")
        elif not split:
            faults.add(row, f"unknown {name} {cell[:60]!r}: {nearest(cell.casefold(), SPLITS)}")
    return splits


def _flagged(flags: Cells, rows: Sequence[int], faults: RowFaults) -> list[str]:
    """Of columns of yes and no. A row that none of them claims is for the split that has no column."""
    claimed = {FLAGS[name] for name in flags}
    rest = "train" if "train" not in claimed else "test" if "test" not in claimed else ""
    splits = []
    for row, *cells in zip(rows, *flags.values(), strict=True):
        said = dict(zip(flags, cells, strict=True))
        fault = _unclear(said, rest)
        if fault is not None:
            faults.add(row, fault)
        splits.append(next((FLAGS[name] for name, cell in said.items() if _TRUTH.get(cell.casefold())), rest))
    return splits


def _unclear(said: Mapping[str, str], rest: str) -> str | None:
    """What is wrong with the cells of one row, if anything."""
    for name, cell in said.items():
        if cell.casefold() not in _TRUTH:
            return f"the {name} is neither yes nor no: {cell[:60]!r}" if cell else f"the {name} is missing"
    yes = {FLAGS[name] for name, cell in said.items() if _TRUTH[cell.casefold()]}
    if len(yes) > 1:
        return f"it is for {' and for '.join(sorted(yes))} at once"
    return None if yes or rest else f"none of {', '.join(said)} is yes"
