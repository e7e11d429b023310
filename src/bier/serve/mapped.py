"""The map that is kept in the index, beside what the index holds now."""

from __future__ import annotations

from collections.abc import Hashable

from bier.data.fields import Value
from bier.search import Index
from bier.search.map_file import FILE, read_map
from bier.search.mapping import MapNow, map_now
from bier.serve.kept import Kept
from bier.system.files import WhileUnchanged, state_of


class Mapped:
    """A map as it is now; read once for all who ask, and again when the map or the number of pictures has changed."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._file = WhileUnchanged(index.folder / FILE, lambda: read_map(index.folder, index.info))
        self._now: Kept[MapNow] = Kept(1)

    def __call__(self) -> MapNow | None:
        """The map; None if there is none.

        Raises:
            SearchError: it is damaged.
        """
        drawn = self._file()
        if drawn is None:
            return None
        return self._now.get(self._state(), self._index.count(), lambda: map_now(self._index, drawn))

    def _state(self) -> Hashable:
        return state_of(self._index.folder / FILE)


def values(now: MapNow, field: str) -> list[Value]:
    """A field's value for each point; None where nothing is known, and for pictures that are gone."""
    return [None if record is None else record.metadata.get(field) for record in now.known]
