"""What a reader of a kind of source is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bier.data.datasets.annotations import RowFaults
from bier.data.manifest import Manifest
from bier.settings.schema import DataConfig


@dataclass(frozen=True)
class Reader:
    """From the path of a source to its manifest.

    Args:
        recognises: whether a file or folder is of this kind; it may be incomplete.
        read: the manifest. With `RowFaults` given, faulty rows are added there and left out; else they are an error.
            A reader whose sources have no rows may ignore it.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path, DataConfig, RowFaults | None], Manifest]
