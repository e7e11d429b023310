"""Opening a source of pictures, and telling how far that has come."""

from __future__ import annotations

from rich.console import Console

from bier.data import Manifest, open_source
from bier.data.datasets.walk import counted
from bier.settings.schema import DataConfig
from bier.system.waiting import Waiting


def opened(source: str, config: DataConfig, console: Console) -> Manifest:
    """`open_source`, with the number of files so far while it lasts."""
    with Waiting(console, f"opening {source}", unit="files") as waiting, counted(waiting.advance):
        return open_source(source, config)
