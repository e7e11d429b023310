"""What is in the index, a page at a time, sorted by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bier.search import Index
from bier.search.columns import Columns
from bier.serve.kept import Kept

Entry = tuple[str, dict[str, Any]]
"""An id and its metadata."""

Where = Mapping[str, Any]

LISTS = 4
"""Lists that are kept, the last ones asked for."""


class Listing:
    """Ids and metadata, without vectors, of at most `most` pictures, read from the engine when first asked for.

    They are read again when the index has changed, or after a while where the engine cannot tell. Of a larger index a
    filter's own pictures are read, at most as many.
    """

    def __init__(self, index: Index, most: int) -> None:
        self._index, self._most = index, most
        self._lists: Kept[Columns] = Kept(LISTS)

    def page(self, offset: int, limit: int, where: Where, *, read: bool = True) -> tuple[list[Entry], int] | None:
        """A page, and how many pictures there are that pass the filters, `most` if there are more.

        Without `read`, `None` if the list has to be read first, which may take seconds.
        """
        count = self._index.count()
        own = where if count > self._most else {}
        key = self._index.checked_filters(own), self._index.version()
        found = self._lists.get(key, count, lambda: self._read(own)) if read else self._lists.there(key, count)
        if found is None:
            return None
        if where and not own:
            found = found.take(np.flatnonzero(found.passing(self._index.checked_filters(where))))
        page = found.first(limit, offset)
        return list(zip(page.ids, page.metadata, strict=True)), len(found)

    def _read(self, own: Where) -> Columns:
        return self._index.entries(own, self._most).in_order()
