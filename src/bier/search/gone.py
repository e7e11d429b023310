"""Pictures that an index still holds, and that their source no longer has."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote, urlsplit

from bier.search.base import Index


class SourceWatch:
    """Hears of all pictures of a source, and then tells which of an index have gone from it.

    A picture of the index came from this source if its path is one of the source's folders, and then its id. It has
    gone if the source has not named it, and its file is no longer there, or the tar file no longer holds it.

    Args:
        prefix: what the ids begin with in the index.
    """

    def __init__(self, prefix: str = "") -> None:
        self.ids: set[str] = set()
        self._prefix = prefix
        self._roots: set[str] = set()
        self._tars: set[str] = set()

    def note(self, name: str, metadata: dict[str, Any]) -> None:
        """The source has this picture."""
        self.ids.add(name)
        self.note_place(name, metadata)
        tar, _ = _file_and_member(metadata.get("image"))
        if tar is not None:
            self._tars.add(tar)

    def note_place(self, name: str, metadata: dict[str, Any]) -> None:
        """The source is where this picture lies, or was there once."""
        root = self._root(name, metadata.get("image"))
        if root is not None:
            self._roots.add(root)

    def gone(self, index: Index, unread: Collection[str] = ()) -> list[str]:
        """Ids of the index that came from this source, and that it no longer has.

        Args:
            index: is read whole.
            unread: paths of pictures and of tar files that the source has, and that could not be read.
        """
        if index.count() <= len(self.ids):
            return []
        unread = set(unread)
        return [
            record.id
            for rows in index.scan()
            for record in rows.records()
            if record.id not in self.ids and self._has_gone(record.id, record.metadata.get("image"), unread)
        ]

    def _has_gone(self, name: str, image: str | None, unread: Collection[str]) -> bool:
        if image is None or image in unread or self._root(name, image) not in self._roots:
            return False
        tar, _ = _file_and_member(image)
        if tar in self._tars:
            return tar not in unread
        return not os.path.exists(tar or image)

    def _root(self, name: str, image: str | None) -> str | None:
        """The folder below which the id names the picture."""
        tar, member = _file_and_member(image)
        place = (f"{tar}:{member}" if tar else image or "").replace(os.sep, "/")
        within = f"/{name.removeprefix(self._prefix)}"
        return place.removesuffix(within) if name.startswith(self._prefix) and place.endswith(within) else None


def _file_and_member(image: str | None) -> tuple[str | None, str]:
    """Of a picture in a tar file: the file, and the name in it."""
    if image is None or not image.startswith("tar://"):
        return None, ""
    uri = urlsplit(image)
    return unquote(uri.path), unquote(uri.fragment)
