"""``test-map.json`` in a run's folder: where its test pictures lie on a map of two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bier.errors import DataError
from bier.records.folder import RunFolder
from bier.records.pictures import Picture
from bier.records.reading import as_json, load
from bier.system.files import write_json

FORMAT = "bier-run-map-1"
REMEDY = "remove it, or draw it anew with `bier evaluate RUN --map`"


@dataclass(frozen=True, kw_only=True)
class RunMap:
    """Pictures that a run was measured on, drawn at random if there are more than a map holds."""

    format: str = FORMAT
    created: str
    """Of the metrics that were measured with it: a map of other metrics is of another model."""
    of: int
    """Pictures that were measured."""
    pictures: tuple[Picture, ...]
    ids: tuple[str, ...]
    """What the source calls them."""
    x: tuple[float, ...]
    y: tuple[float, ...]
    right: tuple[bool, ...]
    """Whether the nearest other picture of the map has a label in common."""

    @staticmethod
    def load(folder: Path) -> RunMap | None:
        """Read that of a run; None if there is none.

        Raises:
            DataError: the file is broken.
        """
        file = RunFolder(folder).map
        if not file.is_file():
            return None
        found = load(RunMap, file, remedy=REMEDY)
        if len({len(column) for column in (found.pictures, found.ids, found.x, found.y, found.right)}) > 1:
            raise DataError("its columns differ in length", where=file, remedy=REMEDY)
        return found

    def save(self, folder: Path) -> None:
        """Write the file, whole or not at all; raises StorageError."""
        write_json(RunFolder(folder).map, as_json(self))
