"""``map.json`` in an index's folder: where its pictures lie on a map of two dimensions."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bier.search.base import LONGEST_ID, IndexInfo
from bier.search.sealed import Sealed
from bier.system.json_values import list_of, number, text, whole
from bier.vectors.planar import FEWEST, MOST

FILE = "map.json"


@dataclass(frozen=True)
class IndexMap:
    """Pictures of an index, drawn at random if it has more than a map holds, and their places."""

    pictures: int
    """In the index when it was drawn."""
    ids: list[str]
    x: list[float]
    y: list[float]
    marks: list[int]
    """CRC-32 of each vector, by which a picture that was replaced is known."""

    @property
    def version(self) -> str:
        """What tells one map from the next."""
        return f"{zlib.crc32(json.dumps([self.ids, self.x, self.y]).encode()):08x}"

    @property
    def sampled(self) -> bool:
        """Whether the index had more pictures than the map."""
        return self.pictures > len(self.ids)


def write_map(folder: Path, info: IndexInfo, drawn: IndexMap) -> None:
    """Put it into the folder of an index, whole or not at all.

    Raises:
        StorageError: the folder cannot be written.
    """
    _SEALED.write(folder, info.model, asdict(drawn))


def read_map(folder: Path, info: IndexInfo) -> IndexMap | None:
    """The one in the folder of an index; None if there is none.

    Raises:
        SearchError: it is damaged, or of another model.
        StorageError: it cannot be read.
    """
    content = _SEALED.read(folder, info.model)
    if content is None:
        return None
    drawn = IndexMap(**content)
    if len({len(column) for column in (drawn.ids, drawn.x, drawn.y, drawn.marks)}) > 1:
        raise _SEALED.refused(folder, "cannot be used (its columns differ in length)")
    return drawn


def _column(entry: Any) -> Any:
    return list_of(entry, FEWEST, MOST)


_SEALED = Sealed(
    "map",
    FILE,
    "bier-index-map-1",
    {
        "pictures": whole(FEWEST, 10**12),
        "ids": _column(text(LONGEST_ID)),
        "x": _column(number(-1e9, 1e9)),
        "y": _column(number(-1e9, 1e9)),
        "marks": _column(whole(0, 2**32)),
    },
    remedy="draw the map anew: bier index map INDEX",
)
