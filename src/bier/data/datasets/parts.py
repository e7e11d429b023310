"""Sources of several files: which split the name of each says, and the tables of all of them as one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from bier.data.columns import Column
from bier.data.datasets.annotations import RowFaults
from bier.data.datasets.walk import is_system
from bier.data.formats import suffix_of
from bier.data.manifest import SPLIT_NAMES, UNDECIDED, Manifest
from bier.data.references import within
from bier.errors import DataError
from bier.system.places import Place, entries

NO_BOX = [np.nan] * 4
BESIDE = "data"
"""A folder that the files of a source may be in, as those of Hugging Face's hub are."""


@dataclass(frozen=True)
class Part:
    """One file of a table that is cut into several."""

    name: str
    """Its path, relative to the source."""
    table: Manifest
    split: str = UNDECIDED
    """Of all its rows, where its name says so."""


def splits_of(path: Path, names: Sequence[str]) -> list[str]:
    """The split that the name of each file says, or none of them says.

    Args:
        path: of the source, for the message.
        names: paths of the files, relative to the source, such as ``data/train-00000.tar`` or ``train/0.tar``.

    Raises:
        DataError: only some names say a split.
    """
    splits = [_split_of(name) for name in names]
    if any(splits) and not all(splits):
        said, silent = next(name for name, split in zip(names, splits, strict=True) if split), names[splits.index("")]
        suffix = PurePosixPath(said).suffix
        raise DataError(
            f"some files are named after a split ({said}), and some are not ({silent})",
            where=path,
            remedy=f"name all of them so, such as train-0000{suffix} and test-0000{suffix}, or none",
        )
    return splits


def _split_of(name: str) -> str:
    *folders, file = name.casefold().split("/")
    words = [*folders, *re.split(r"[\W\d_]+", PurePosixPath(file).stem)]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), UNDECIDED)


def holds_parts(path: Path, suffix: str) -> bool:
    """Whether a folder holds files of this suffix: right in it, in ``data``, or in folders named after splits.

    Folders of other names may hold classes, so beside them such files are no source.
    """
    if not path.is_dir():
        return False
    there = names_in(path)
    folders = [name for name, is_folder in there.items() if is_folder]
    known = all(name.casefold() in (*SPLIT_NAMES, BESIDE) for name in folders)
    return (
        known
        and all(_has(names_in(path / name), suffix) for name in folders)
        and (bool(folders) or _has(there, suffix))
    )


def names_in(folder: Path) -> dict[str, bool]:
    """Names of what is right in a folder, each with whether it is a folder; a web server lists none."""
    if str(folder).startswith("http"):
        return {}
    found = entries(folder) if isinstance(folder, Place) else {entry.name: entry.is_dir() for entry in folder.iterdir()}
    return {name: is_folder for name, is_folder in found.items() if not is_system(name)}


def _has(names: Iterable[str], suffix: str) -> bool:
    return any(suffix_of(name) == suffix for name in names)


def joined(path: Path, parts: Sequence[Part]) -> Manifest:
    """The tables of all parts as one, in their order. Its paths begin at the source's folder.

    Where all parts are of the split ``train``, that is only their name: the classes are split as usual.

    Raises:
        DataError: a class has several names; a field is of several kinds.
    """
    splits, notes = _splits(parts)
    tables = [part.table for part in parts]
    named = any(table.name is not None for table in tables)
    if named:
        _refuse_other_names(path, parts)
    boxed = any(table.bbox is not None for table in tables)
    boxes = [NO_BOX if table.bbox is None else table.bbox[row] for table in tables for row in range(len(table))]
    lines = [f"{part.name}: {line}" for part in parts for line in part.table.notes]
    return Manifest.of(
        path,
        path.name,
        image=[within(image, str(PurePosixPath(p.name).parent)) for p in parts for image in p.table.image],
        label=[label for table in tables for label in table.label],
        split=splits,
        group=_texts(tables, "group"),
        bbox=boxes if boxed else None,
        name=_texts(tables, "name"),
        numbered=False,
        notes=[*notes, *lines],
        fields=_fields(path, parts),
    )


def _splits(parts: Sequence[Part]) -> tuple[list[str], list[str]]:
    """The split of every row, and a note."""
    rows = [str(split) or part.split for part in parts for split in part.table.split]
    if all(part.split == "train" for part in parts) and set(rows) == {"train"}:
        return [UNDECIDED] * len(rows), ["there is no split but train: its classes are split for training and test"]
    return rows, []


def _texts(tables: Sequence[Manifest], column: str) -> list[str] | None:
    found = [getattr(table, column) for table in tables]
    if all(values is None for values in found):
        return None
    return [
        text
        for table, values in zip(tables, found, strict=True)
        for text in ([""] * len(table) if values is None else values)
    ]


def _refuse_other_names(path: Path, parts: Sequence[Part]) -> None:
    """A class that is called by different names: its number means something else in each part."""
    known: dict[str, tuple[str, str]] = {}
    for part in parts:
        names = part.table.label if part.table.name is None else part.table.name
        for label, name in dict.fromkeys(zip(part.table.label, names, strict=True)):
            before, where = known.setdefault(label, (name, part.name))
            if before != name:
                raise DataError(
                    f"the label {label} means {before!r} in {where} and {name!r} in {part.name}",
                    where=path,
                    remedy="write both with the same names of classes",
                )


def _fields(path: Path, parts: Sequence[Part]) -> list[Column]:
    kinds: dict[str, tuple[Column, str]] = {}
    for part in parts:
        for column in part.table.fields:
            first, where = kinds.setdefault(column.name, (column, part.name))
            if first.kind != column.kind:
                raise DataError(
                    f"the column {column.name!r} is {first.kind} in {where} and {column.kind} in {part.name}",
                    where=path,
                    remedy="write both with the same type",
                )
    columns = []
    for name, (first, _) in kinds.items():
        found = [{column.name: column.values for column in part.table.fields}.get(name) for part in parts]
        values = [
            value
            for part, column in zip(parts, found, strict=True)
            for value in ([None] * len(part.table) if column is None else column)
        ]
        columns.append(replace(first, values=values))
    return columns


def collect(name: str, found: RowFaults, faulty: RowFaults | None) -> None:
    """Add the faults of a part to those of the source."""
    if faulty is not None:
        for row, message in found.found:
            faulty.add(None, f"{name}: {message}" if row is None else f"{name}, row {row}: {message}")
