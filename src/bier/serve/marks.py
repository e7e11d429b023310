"""Good and bad results, as people marked them: pairs for the next training."""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pydantic import ConfigDict, ValidationError

from bier.data.marks import quoted
from bier.errors import StorageError
from bier.serve.schemas import Mark
from bier.system.files import storage_errors

COLUMNS = ("query", "sha256", "box", "result", "verdict", "time")

logger = logging.getLogger("bier.serve")


class StoredMark(Mark):
    """A line of the file."""

    model_config = ConfigDict(extra="ignore")

    time: str


class MarksFile:
    """JSON lines that only grow; a line is on disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def append(self, marks: Iterable[Mark]) -> int:
        """Raises `StorageError` when the disk is full or the file cannot be written; then none of them is kept."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        lines = [json.dumps({**mark.model_dump(), "time": now}) + "\n" for mark in marks]
        with self._lock, storage_errors(self._path, "marks cannot be saved"):
            _append("".join(lines).encode(), self._path)
        return len(lines)

    def pairs(self) -> str:
        """CSV of the pairs as they stand now: the last verdict on each, those taken back left out.

        A cell that a spreadsheet would take for a formula begins with an apostrophe.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(map(_cells, self._standing()))
        return text.getvalue()

    def marked(self, sha256: str) -> bool:
        """Whether a mark of this upload stands."""
        return any(mark.sha256 == sha256 for mark in self._standing(sha256))

    def _standing(self, about: str = "") -> list[StoredMark]:
        """The last verdict on each pair, of lines that hold a text; those taken back are left out."""
        marks = self._marks(about)
        latest = {(mark.query, mark.sha256, _part(mark), mark.result): mark for mark in marks}
        return [mark for mark in latest.values() if mark.verdict != "none"]

    def _marks(self, about: str) -> Iterator[StoredMark]:
        if not self._path.exists():
            return
        try:
            with self._lock:
                lines = self._path.read_bytes().splitlines()
        except OSError as error:
            raise StorageError(
                f"marks cannot be read: {error.strerror or error}",
                where=self._path,
                remedy="look at the file; move it away to begin a new one",
            ) from error
        for number, line in enumerate(lines, start=1):
            if about.encode() not in line:
                continue
            try:
                yield StoredMark.model_validate_json(line)
            except ValidationError:  # half a line, from a power cut, or somebody's own
                logger.warning("%s: line %d is no mark and is left out", self._path, number)


def _part(mark: StoredMark) -> str | None:
    return None if mark.box is None else " ".join(f"{number:g}" for number in mark.box)


def _cells(mark: StoredMark) -> dict[str, str | None]:
    cells: dict[str, str | None] = {**mark.model_dump(), "box": _part(mark)}
    return {name: cell and quoted(cell) for name, cell in cells.items()}


def _append(content: bytes, path: Path) -> None:
    with open(path, "a+b", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        whole = _line_end(file, before) + content
        try:
            if file.write(whole) < len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(before)
            raise


def _line_end(file: BinaryIO, size: int) -> bytes:
    """What ends the half line that a power cut left."""
    if not size:
        return b""
    file.seek(size - 1)
    return b"" if file.read(1) == b"\n" else b"\n"
