"""Opening a source of pictures, and telling how far that has come."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bier.data import Manifest, open_source
from bier.data.datasets.walk import counted
from bier.errors import DataError, quoted
from bier.records.folder import RunFolder
from bier.records.provenance import Provenance
from bier.runs.machine import portable
from bier.settings.reading import load
from bier.settings.schema import Config, DataConfig
from bier.system.places import exists, path_of
from bier.system.waiting import Waiting


def opened(source: str, config: DataConfig, console: Console) -> Manifest:
    """`open_source`, with the number of files so far while it lasts."""
    with Waiting(console, f"opening {source}", unit="files") as waiting, counted(waiting.advance):
        return open_source(source, config)


def opened_of(run: Path, source: str | None, console: Console, command: str) -> tuple[Config, Manifest]:
    """The settings of a run without those of its machine, and its pictures.

    Args:
        run: its folder.
        source: where its pictures are; None for where they were in training.
        console: where to show how far it has come.
        command: that takes ``--source``, up to the run, for the remedy.

    Raises:
        ModelError: the folder holds no run.
        DataError: the pictures are gone.
    """
    path = Provenance.load(run).data.path
    config = portable(load(RunFolder(run).config))
    if source is None and not exists(path_of(path)):
        raise DataError(
            "the pictures of this run are no longer there",
            where=path,
            remedy=f"say where they are now: {command} {quoted(run)} --source PICTURES",
        )
    return config, opened(source or path, config.data, console)
