"""What the files of an index's pictures were like when they were embedded, so that only others are embedded again.

A note holds size and time of the file, and a checksum of the vector. Whoever else writes to the index leaves another
vector, so a note that is out of date is not believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bier.data.fields import Kinds
from bier.errors import StorageError
from bier.search.base import Rows, vector_mark
from bier.vectors.sources import Entry, Source

FILE = "files.sqlite"
"""In an index's folder."""
AT_ONCE = 500
"""Ids of one question."""

State = tuple[int, int]
"""Of a file: size and time of its last change."""


class SeenFiles:
    """The notes of one index.

    Args:
        folder: of the index.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def unchanged(self, rows: Rows, states: Sequence[State | None]) -> list[bool]:
        """Which rows of the index are of files that are still in the state (n) in which they were embedded."""
        known = self._notes(rows.ids)
        return [
            state is not None and known.get(name) == (*state, vector_mark(vector))
            for name, vector, state in zip(rows.ids, rows.vectors, states, strict=True)
        ]

    def note(self, rows: Rows, states: Mapping[str, State]) -> None:
        """These rows are stored; ``states`` are those of their files, by id, from before they were read.

        Raises:
            StorageError: the file cannot be written.
        """
        notes = [
            (name, *states[name], vector_mark(vector))
            for name, vector in zip(rows.ids, rows.vectors, strict=True)
            if name in states
        ]
        with self._opened() as notebook:
            notebook.execute("create table if not exists files (id text primary key, size, time, vector) without rowid")
            notebook.executemany("insert or replace into files values (?, ?, ?, ?)", notes)

    def _notes(self, ids: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        if not self.file.exists():
            return {}
        found: dict[str, tuple[int, int, int]] = {}
        with self._opened() as notebook:
            for some in (ids[begin : begin + AT_ONCE] for begin in range(0, len(ids), AT_ONCE)):
                marks = ", ".join("?" * len(some))
                question = f"select id, size, time, vector from files where id in ({marks})"
                found |= {name: (size, time, vector) for name, size, time, vector in notebook.execute(question, some)}
        return found

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.file)) as notebook, notebook:
                yield notebook
        except sqlite3.Error as error:
            raise StorageError(
                f"cannot be read or written: {error}",
                where=self.file,
                remedy="make room on the disk; or remove the file, and all pictures are embedded again once",
            ) from error


class Watched:
    """A source of pictures that notes the state of each file before its picture is read.

    Args:
        source: gives the pictures.
        prefix: what their ids begin with in the index.
    """

    def __init__(self, source: Source, prefix: str = "") -> None:
        self.source, self.prefix = source, prefix
        self.name, self.fingerprint, self.total = source.name, source.fingerprint, source.total
        self.states: dict[str, State] = {}
        """By id, of pictures that are on their way into the index."""

    @property
    def kinds(self) -> Kinds:
        return self.source.kinds

    def read_as(self, kinds: Kinds) -> None:
        self.source.read_as(kinds)

    def remarks(self) -> list[str]:
        return self.source.remarks()

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]:
        for entry in self.source.pictures(start):
            self.note(entry)
            yield entry

    def note(self, entry: Entry) -> None:
        """This picture is about to be read."""
        if (found := state(entry)) is not None:
            self.states[self.prefix + entry.id] = found

    def stored(self, seen: SeenFiles, rows: Rows) -> None:
        """These rows are in the index: keep the notes of their files."""
        seen.note(rows, self.states)
        for name in rows.ids:
            self.states.pop(name, None)


def state(entry: Entry) -> State | None:
    """Of the file that a picture is in; none where there is no telling, or no use in opening it."""
    return None if entry.fault is not None else entry.state
