"""``tries.json``: what a run is the best of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bier.records.folder import RunFolder
from bier.records.reading import as_json, load
from bier.system.files import write_json


@dataclass(frozen=True, kw_only=True)
class Tries:
    """The request for several runs, of which the best is kept."""

    source: str
    """Of pictures: its path."""
    combinations: tuple[tuple[str, ...], ...]
    """The settings of each try, as ``key=value``."""
    uploads: str | None = None
    """The folder of kept uploads, where there are marks; their file is copied into the folder of the tries."""
    marks_win: bool = False
    """Whether a mark counts where labels say otherwise."""

    @staticmethod
    def load(folder: Path) -> Tries:
        """Read that of a run's folder.

        Raises:
            DataError: the file is missing or broken.
        """
        return load(Tries, RunFolder(folder).tries, remedy="start again in another folder")

    def save(self, folder: Path) -> None:
        """Write the file, whole or not at all; raises StorageError."""
        write_json(RunFolder(folder).tries, as_json(self))
