"""What is in the index, a page at a time, sorted by id."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from bier.search import Index
from bier.search.filters import passing

Entry = tuple[str, dict[str, Any]]
"""An id and its metadata."""

Where = Mapping[str, Any]

FRESH = 60.0
"""Seconds after which a list is read again; at once when the number of pictures changes."""
LISTS = 4
"""Lists that are kept, the last ones asked for."""


@dataclass
class _List:
    """A list that is kept, or being read."""

    count: int
    """Pictures in the index when it was begun."""
    entries: Future[list[Entry]] = field(default_factory=Future)
    begun: float = field(default_factory=time.monotonic)


class Listing:
    """Ids and metadata, without vectors, of at most `most` pictures, read from the engine when first asked for.

    Of a larger index a filter's own pictures are read, at most as many. Several lists may be read at once, each by
    one thread; whoever asks for the same one waits for it.
    """

    def __init__(self, index: Index, most: int) -> None:
        self._index, self._most = index, most
        self._lists: dict[tuple[Any, ...], _List] = {}
        self._lock = threading.Lock()

    def page(self, offset: int, limit: int, where: Where, *, read: bool = True) -> tuple[list[Entry], int] | None:
        """A page, and how many pictures there are that pass the filters, `most` if there are more.

        Without `read`, `None` if the list has to be read first, which may take seconds.
        """
        count = self._index.count()
        own = where if count > self._most else {}
        known, mine = self._find(count, own, read)
        if known is None:
            return None
        if mine:
            self._fill(known, own)
        found = known.entries.result()
        if not own:
            passes = passing(self._index.checked_filters(where))
            found = [entry for entry in found if passes(entry[1])]
        return found[offset : offset + limit], len(found)

    def _find(self, count: int, own: Where, read: bool) -> tuple[_List | None, bool]:
        """The list of this filter, and whether it is the caller's to read."""
        key = self._index.checked_filters(own)
        with self._lock:
            known = self._lists.get(key)
            if known is not None and (known.count != count or time.monotonic() - known.begun > FRESH):
                known = None
            if not read:
                return (known if known is not None and known.entries.done() else None), False
            mine = known is None
            self._lists.pop(key, None)
            self._lists[key] = known = known or _List(count)
            while len(self._lists) > LISTS:
                del self._lists[next(iter(self._lists))]
            return known, mine

    def _fill(self, known: _List, own: Where) -> None:
        try:
            known.entries.set_result(self._read(own))
        except BaseException as error:
            with self._lock:
                self._lists = {key: one for key, one in self._lists.items() if one is not known}
            known.entries.set_exception(error)

    def _read(self, own: Where) -> list[Entry]:
        # The engine counts fast; reading ends with the last that there is.
        wanted, passes = min(self._most, self._index.count(own)), passing(self._index.checked_filters(own))
        found: list[Entry] = []
        batches = self._index.scan() if wanted else iter(())
        for rows in batches:
            found += (entry for entry in zip(rows.ids, rows.metadata, strict=True) if passes(entry[1]))
            if len(found) >= wanted:
                break
        return sorted(found[:wanted], key=lambda entry: entry[0])
