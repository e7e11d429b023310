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

FRESH = 60.0
"""Seconds after which the list is read again; at once when the number of pictures changes."""


class Listing:
    """Ids and metadata, without vectors, of at most `most` pictures, read from the engine when first asked for."""

    def __init__(self, index: Index, most: int) -> None:
        self._index, self._most = index, most
        self._entries: list[Entry] = []
        self._count, self._read = -1, 0.0
        self._lock = threading.Lock()

    def page(self, offset: int, limit: int, where: Mapping[str, Any]) -> tuple[list[Entry], int]:
        """A page, and how many pictures there are that have these values."""
        allowed = {field: value if isinstance(value, list) else [value] for field, value in where.items()}
        found = [entry for entry in self._current() if all(entry[1].get(f) in values for f, values in allowed.items())]
        return found[offset : offset + limit], len(found)

    def _current(self) -> list[Entry]:
        with self._lock:
            count = self._index.count()
            if count != self._count or time.monotonic() - self._read > FRESH:
                entries = ((record.id, record.metadata) for rows in self._index.scan() for record in rows.records())
                self._entries = sorted(islice(entries, self._most), key=lambda entry: entry[0])
                self._count, self._read = count, time.monotonic()
            return self._entries
