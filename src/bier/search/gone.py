"""Pictures that an index still holds, and that their source no longer has."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from bier.data.fields import Kinds
from bier.data.references import file_of, parse
from bier.search.base import Index
from bier.system.places import exists
from bier.vectors.objects import BOX, of_picture, with_box


class SourceWatch:
    """Hears of all pictures of a source, and then tells which of an index have gone from it.

    A picture of the index came from this source if its path is one of the source's folders, and then its id. It has
    gone if the source has not named it, and its file is no longer there, or the tar or Parquet file no longer holds it.
    A source of objects says all that there is in a picture: what else the index has of the picture has gone.

    Args:
        prefix: what the ids begin with in the index.
        kinds: of the index's fields.
    """

    def __init__(self, prefix: str = "", kinds: Kinds | None = None) -> None:
        self.ids: set[str] = set()
        self._index_of_objects = (kinds or {}).get(BOX) == "box"
        self._of_objects = False
        self._pictures: set[str] = set()
        """Where the index is of objects, the pictures that the source has named."""
        self._prefix = prefix
        self._roots: set[str] = set()
        self._files: set[str] = set()

    def note(self, name: str, metadata: dict[str, Any]) -> None:
        """The source has this picture."""
        self.ids.add(name)
        self.note_place(name, metadata)
        if self._index_of_objects:
            self._of_objects |= metadata.get(BOX) is not None
            self._pictures.add(metadata.get("image") or "")
        place = parse(metadata.get("image") or "")
        if place is not None:
            self._files.add(place.file)

    def note_place(self, name: str, metadata: dict[str, Any]) -> None:
        """The source is where this picture lies, or was there once."""
        root = self._root(name, metadata)
        if root is not None:
            self._roots.add(root)

    def gone(self, index: Index, unread: Collection[str] = ()) -> list[str]:
        """Ids of the index that came from this source, and that it no longer has.

        Args:
            index: is read whole.
            unread: pictures, objects and tar files that the source has, and that could not be read.
        """
        if index.count() <= len(self.ids):
            return []
        unread = set(unread)
        return [
            record.id
            for rows in index.scan()
            for record in rows.records()
            if record.id not in self.ids and self._has_gone(record.id, record.metadata, unread)
        ]

    def _has_gone(self, name: str, metadata: dict[str, Any], unread: Collection[str]) -> bool:
        image = metadata.get("image")
        if image is None or self._root(name, metadata) not in self._roots:
            return False
        if with_box(image, metadata.get(BOX) if self._index_of_objects else None) in unread:
            return False
        if self._of_objects and image in self._pictures:
            return True
        place = parse(image)
        if place is not None and place.file in self._files:
            return place.file not in unread
        return not exists(file_of(image))

    def _root(self, name: str, metadata: dict[str, Any]) -> str | None:
        """The folder below which the id names the picture."""
        image = metadata.get("image") or ""
        found = parse(image)
        place = (f"{found.file}:{found.inside}" if found else image).replace(os.sep, "/")
        within = f"/{of_picture(name, metadata).removeprefix(self._prefix)}"
        return place.removesuffix(within) if name.startswith(self._prefix) and place.endswith(within) else None
