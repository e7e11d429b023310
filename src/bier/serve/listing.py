"""What is in the index, a page at a time, sorted by id."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from bier.search import Index

Entry = tuple[str, dict[str, Any]]
"""An id and its metadata."""

Values = dict[str, list[Any]]
"""What each field may be."""

FRESH = 60.0
"""Seconds after which the list is read again; at once when the number of pictures changes."""


class Listing:
    """Ids and metadata, without vectors, of at most `most` pictures, read from the engine when first asked for.

    Of a larger index a filter's own pictures are read, at most as many, and kept while nobody asks for another filter.
    """

    def __init__(self, index: Index, most: int) -> None:
        self._index, self._most = index, most
        self._entries: list[Entry] = []
        self._state: tuple[int, Values] = (-1, {})
        self._read = 0.0
        self._lock = threading.Lock()

    def page(self, offset: int, limit: int, where: Mapping[str, Any]) -> tuple[list[Entry], int]:
        """A page, and how many pictures there are that have these values, `most` if there are more."""
        allowed = {field: value if isinstance(value, list) else [value] for field, value in where.items()}
        found = [entry for entry in self._current(allowed) if _has(entry, allowed)]
        return found[offset : offset + limit], len(found)

    def _current(self, allowed: Values) -> list[Entry]:
        with self._lock:
            count = self._index.count()
            state = (count, allowed if count > self._most else {})
            if state != self._state or time.monotonic() - self._read > FRESH:
                entries = ((record.id, record.metadata) for rows in self._index.scan() for record in rows.records())
                found = (entry for entry in entries if _has(entry, state[1]))
                self._entries = sorted(islice(found, self._most), key=lambda entry: entry[0])
                self._state, self._read = state, time.monotonic()
            return self._entries


def _has(entry: Entry, allowed: Values) -> bool:
    return all(entry[1].get(field) in values for field, values in allowed.items())
