"""Reading the files that come with a benchmark, and comparing what they hold with what was published."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bier.data.manifest import Manifest
from bier.errors import DataError

SHOWN = 10
"""Faulty rows that an error spells out; the others are counted."""


@dataclass
class RowFaults:
    """The faulty rows of one file, collected so that one error names them all; no row: a fault of the whole."""

    file: Path
    found: list[tuple[int | None, str]] = field(default_factory=list)

    def add(self, row: int | None, message: str) -> None:
        self.found.append((row, message))

    def refuse(self, remedy: str) -> None:
        """Raises a DataError with the first rows and the count, if there is any."""
        if not self.found:
            return
        lines = [f"\n  {'' if row is None else f'row {row}: '}{message}" for row, message in self.found[:SHOWN]]
        more = len(self.found) - len(lines)
        rest = f"\n  and {more:,} more" if more else ""
        plural = "row" if len(self.found) == 1 else "rows"
        raise DataError(f"{len(self.found):,} faulty {plural}:{''.join(lines)}{rest}", where=self.file, remedy=remedy)


def required(directory: Path, names: Iterable[str], holds: str) -> Path:
    """The first of these files that exists under the directory.

    Args:
        directory: the benchmark's directory.
        names: where the file may lie, relative to the directory, the usual place first.
        holds: what the directory should hold, for the error.

    Raises:
        DataError: none of them exists.
    """
    places = list(names)
    for name in places:
        if (directory / name).is_file():
            return directory / name
    raise DataError(f"{places[0]} is missing", where=directory, remedy=f"this directory should hold {holds}")


def read_text(file: Path) -> str:
    """The whole of a text file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Every line ends with a line feed, whatever ends it in the file.

    Raises:
        DataError: it cannot be opened, or is written in something else.
    """
    try:
        data = file.read_bytes()
        encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not a text in {error.encoding.upper()} (byte {error.start:,})",
            where=file,
            remedy="save it again as UTF-8",
        ) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=file, remedy="check the file") from error


def read_fields(file: Path, columns: str, header: int = 0, lines: int | None = None) -> list[tuple[int, list[str]]]:
    """Line number and fields of each line, split at white space; blank lines are skipped.

    Args:
        file: a text file.
        columns: the names of the columns, separated by spaces.
        header: lines at the top to pass over.
        lines: how many lines to read after those; none given: all.

    Raises:
        DataError: lines with more or fewer fields than columns, all of them named.
    """
    faults = RowFaults(file)
    width = len(columns.split())
    rows = []
    # Only line feeds end a line here: str.splitlines would also cut at characters that a name may hold.
    text = read_text(file).split("\n")[header : None if lines is None else header + lines]
    for number, line in enumerate(text, start=header + 1):
        fields = line.split()
        if len(fields) == width:
            rows.append((number, fields))
        elif fields:
            faults.add(number, f"{len(fields)} fields instead of {width}: {line.strip()[:80]!r}")
    faults.refuse(f"each line should read: {columns}")
    return rows


def escapes(path: str) -> bool:
    """Whether a path from an annotation file could lead out of the benchmark's directory (or is none at all)."""
    absolute = path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", path) is not None
    return not path or absolute or "\0" in path or ".." in re.split(r"[\\/]", path)


def check_published(manifest: Manifest, benchmark: str, published: Mapping[str, tuple[int | None, int]]) -> None:
    """Compare a benchmark's splits with the published ones.

    Args:
        manifest: as read.
        benchmark: its name, for the error.
        published: images and classes of each split; None where publications disagree.

    Raises:
        DataError: another number of images or classes, or a class both in training and elsewhere.
    """
    wrong = []
    for split, (images, classes) in published.items():
        part = manifest.take(manifest.split == split)
        found = (len(part), len(set(part.label)))
        if found != (found[0] if images is None else images, classes):
            wanted = f"{classes:,} classes" if images is None else f"{images:,} images of {classes:,} classes"
            wrong.append(f"\n  {split}: {found[0]:,} images of {found[1]:,} classes, published are {wanted}")
    train = manifest.split == "train"
    both = set(manifest.label[train]) & set(manifest.label[~train])
    if both:
        wrong.append(f"\n  {len(both):,} classes are both in train and elsewhere, published are none")
    if wrong:
        raise DataError(
            f"the counts are not those of {benchmark}:{''.join(wrong)}",
            where=manifest.source,
            remedy="unpack the benchmark again; for a subset on purpose, list it in a CSV file or class folders, "
            "or set data.strict=false",
        )
