"""``map.json`` in an index's folder: where its pictures lie on a map of two dimensions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bier.errors import SearchError
from bier.search.base import LONGEST_ID, IndexInfo, Vectors
from bier.search.writers import index_error
from bier.system.files import write_json
from bier.system.json_files import read_object
from bier.system.json_values import list_of, number, one_of, record, text, whole
from bier.vectors.planar import FEWEST, MOST

FILE = "map.json"
FORMAT = "bier-index-map-1"
REMEDY = "draw it anew: bier index map INDEX"


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


def mark(vector: Vectors) -> int:
    """What tells one vector from another."""
    return zlib.crc32(vector.tobytes())


def write_map(folder: Path, info: IndexInfo, drawn: IndexMap) -> None:
    """Put it into the folder of an index, whole or not at all.

    Raises:
        StorageError: the folder cannot be written.
    """
    content = {"model": info.model, **asdict(drawn)}
    write_json(folder / FILE, {"format": FORMAT, **content, "checksum": _checksum(content)})


def read_map(folder: Path, info: IndexInfo) -> IndexMap | None:
    """The one in the folder of an index; None if there is none.

    Raises:
        SearchError: it is damaged, or of another model.
        StorageError: it cannot be read.
    """
    file = folder / FILE
    try:
        content = _CONTENT(read_object(file), "")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SearchError(f"the map cannot be used ({error})", where=file, remedy=REMEDY) from error
    except OSError as error:
        raise index_error(file, error) from error
    del content["format"]
    if content.pop("checksum") != _checksum(content):
        raise SearchError("the map is damaged: its checksum is another", where=file, remedy=REMEDY)
    if content.pop("model") != info.model:
        raise SearchError("the map is of another model than the index", where=file, remedy=REMEDY)
    drawn = IndexMap(**content)
    if len({len(column) for column in (drawn.ids, drawn.x, drawn.y, drawn.marks)}) > 1:
        raise SearchError("the map cannot be used (its columns differ in length)", where=file, remedy=REMEDY)
    return drawn


def _checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _column(entry: Any) -> Any:
    return list_of(entry, FEWEST, MOST)


_CONTENT = record(
    {
        "format": one_of(FORMAT),
        "model": text(),
        "pictures": whole(FEWEST, 10**12),
        "ids": _column(text(LONGEST_ID)),
        "x": _column(number(-1e9, 1e9)),
        "y": _column(number(-1e9, 1e9)),
        "marks": _column(whole(0, 2**32)),
        "checksum": whole(0, 2**32),
    }
)
