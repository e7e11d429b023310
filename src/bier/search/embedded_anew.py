"""The pictures of one index, embedded by another model into another index; an interruption loses little."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bier.data.fields import Kinds
from bier.data.references import file_of
from bier.search.base import Index, Record
from bier.search.fill import gathered
from bier.search.seen_files import SeenFiles, Watched
from bier.system.files import state_of
from bier.vectors.catalogue import embedded
from bier.vectors.encoder import PictureEncoder
from bier.vectors.objects import box_of
from bier.vectors.sources import Entry

_UNKNOWN = -1
"""Stands for the state of a row that was stored by a process that was killed before it noted which state it was."""


class Marks:
    """A file that lists embedded rows: id, and the state in which the row was then."""

    def __init__(self, file: Path) -> None:
        self._file = file
        content = file.read_bytes() if file.exists() else b""
        sound = content[: content.rfind(b"\n") + 1]  # a kill may have cut the last line
        self.known = dict(json.loads(line) for line in sound.splitlines())
        self._stream = file.open("ab")
        os.truncate(file, len(sound))

    def note(self, states: Mapping[str, int]) -> None:
        self._stream.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in states.items()))
        self._stream.flush()
        self.known.update(states)

    def close(self) -> None:
        self._stream.close()


class EmbeddedAnew:
    """Keeps an index up to date with the pictures of another, whose vectors are of another model.

    Args:
        old: says which pictures there are.
        new: of the encoder's model, with the same fields.
        marks: of the rows that are in ``new``.
        encoder: embeds them.
        failed: hears of each picture that cannot be read, and why.
        progress: called with the number of pictures that have been embedded since the last call.
        workers: processes that decode; 0 decodes in this one.
    """

    def __init__(
        self,
        old: Index,
        new: Index,
        marks: Marks,
        encoder: PictureEncoder,
        failed: Callable[[str, str], object],
        progress: Callable[[int], object],
        workers: int,
    ) -> None:
        self.old, self.new = old, new
        self.unread: dict[str, int] = {}
        """Rows that are left out, since their pictures cannot be read: id and state."""
        self._marks, self._encoder, self._failed, self._progress = marks, encoder, failed, progress
        self._workers = workers
        self._held = {name: marks.known.get(name, _UNKNOWN) for rows in new.scan() for name in rows.ids}
        progress(len(self._held))

    @property
    def ids(self) -> list[str]:
        """What the new index holds."""
        return list(self._held)

    def catch_up(self) -> int:
        """Embed what is new or has changed, remove what has gone; gives the number of pictures that were embedded."""
        source = _Stored(self.old, {**self._held, **self.unread})
        count = 0
        watched, seen = Watched(source), SeenFiles(self.new.folder)
        found = embedded(self._encoder, watched, self._failed, workers=self._workers)
        for rows in gathered(found, "", self.old.info.fields):
            self.new.add(rows.ids, rows.vectors, rows.metadata)
            watched.stored(seen, rows)
            self._note({name: source.asked.pop(name) for name in rows.ids})
            self._progress(len(rows))
            count += len(rows)
        self.unread = {name: state for name, state in self.unread.items() if name in source.there} | source.asked
        self._remove([name for name in self._held if name not in source.there or name in source.asked])
        return count

    def _note(self, states: Mapping[str, int]) -> None:
        self._marks.note(states)
        self._held.update(states)
        for name in states:
            self.unread.pop(name, None)

    def _remove(self, names: list[str]) -> None:
        self.new.delete(names)
        for name in names:
            del self._held[name]


class _Stored:
    """The pictures of an index that are not known in their present state, as a source of pictures.

    Args:
        index: is read whole.
        known: states of rows by id; these rows are passed over.
    """

    fingerprint = ""
    total: int | None = None

    def __init__(self, index: Index, known: Mapping[str, int]) -> None:
        self.name = str(index.folder)
        self.there: set[str] = set()
        self.asked: dict[str, int] = {}
        """Rows that were given to be embedded, with their states."""
        self._index, self._known = index, known

    @property
    def kinds(self) -> Kinds:
        return self._index.info.kinds

    def read_as(self, kinds: Kinds) -> None:
        """They are as the index has them."""

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]:
        for rows in self._index.scan():
            for row in rows.records():
                self.there.add(row.id)
                state = _state(row)
                if self._known.get(row.id) != state:
                    self.asked[row.id] = state
                    yield _entry(row, self.kinds)

    def remarks(self) -> list[str]:
        return []


def _entry(row: Record, kinds: Kinds) -> Entry:
    others = {name: value for name, value in row.metadata.items() if name not in ("image", "label")}
    image = row.metadata.get("image")
    fault = None if image else "the index does not say where the picture is"
    box = box_of(row.metadata, kinds)
    state = state_of(file_of(image)) if image else None
    return Entry(row.id, image or row.id, row.metadata.get("label"), (0, 0), fault, others, box, state)


def _state(row: Record) -> int:
    """Another one whenever the row was replaced by something else."""
    return zlib.crc32(repr(sorted(row.metadata.items())).encode("utf-8", "replace"), zlib.crc32(row.vector.tobytes()))
