"""Is all that an index holds what it was?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bier.errors import SearchError
from bier.search.base import RESTORE, Index, Rows, checked_ids
from bier.search.filters import check_value


@dataclass(frozen=True)
class Checked:
    """What was found sound."""

    pictures: int
    files: int
    """Files that were compared with their checksums; 0 where none were kept."""


def check_index(index: Index, progress: Callable[[int], Any] | None = None) -> Checked:
    """Compare all files with their checksums, and read every picture: ids, metadata, and the lengths of vectors.

    Args:
        index: open, and not changed meanwhile.
        progress: called with the number of pictures that were read since the last call.

    Raises:
        SearchError: something is damaged; it is named.
    """
    files = index.check_files()
    seen: set[str] = set()
    for rows in index.scan():
        index.sound(rows)
        _check_values(index, rows)
        for name in rows.ids:
            if name in seen:
                raise _damaged(index, f"the id {name[:80]!r} is there twice")
            seen.add(name)
        if progress is not None:
            progress(len(rows))
    count = index.count()
    if count != len(seen):
        raise _damaged(index, f"{len(seen):,} pictures can be read, and {count:,} should be there")
    return Checked(count, files)


def _check_values(index: Index, rows: Rows) -> None:
    try:
        checked_ids(rows.ids)
        for metadata in rows.metadata:
            for field, kind in index.info.kinds.items():
                check_value(metadata[field], field, kind)
    except SearchError as error:
        raise _damaged(index, error.what) from error


def _damaged(index: Index, what: str) -> SearchError:
    return SearchError(f"is damaged: {what}", where=index.folder, remedy=RESTORE)
