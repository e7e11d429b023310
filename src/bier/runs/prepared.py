"""The prepared copies of a run's pictures: which are there, which are made, and what is told of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rich.console import Console

from bier.data import Manifest
from bier.data.prepared import INFO, Copies, CopyView, find, make, open_folder, with_copies
from bier.errors import ConfigError
from bier.runs import build
from bier.settings.schema import Config
from bier.system.places import is_url, spelled
from bier.system.processes import ALONE, Processes, processes_here
from bier.system.waiting import Waiting

SETTING = "data.prepared"


def with_prepared(
    manifest: Manifest, config: Config, size: int, console: Console, processes: Processes = ALONE
) -> Manifest:
    """The manifest, read from the copies in ``data.prepared``, which are made as far as they are missing.

    Args:
        manifest: the pictures.
        config: all settings; without a folder in them, pictures are read as they are.
        size: of the network's input in pixels.
        console: where to tell of it.
        processes: share the work; each calls this alike.

    Raises:
        ConfigError: the folder is no folder of this machine.
        DataError: it holds something else.
        StorageError: it cannot be written, or the disk is full; copies that are there stay.
    """
    if config.data.prepared is None:
        return manifest
    folder, view = local_folder(config.data.prepared), CopyView(build.train_transform(config, size))
    if processes.first:
        open_folder(folder)
    processes.wait()
    copies = find(manifest, folder, view)
    processes.wait()  # all have seen what is missing, before anyone adds to it
    if not len(copies.missing):
        console.print(f"prepared copies: all {_readable(copies):,} are in {folder}", soft_wrap=True)
        return with_copies(manifest, copies)
    began = time.monotonic()
    _make(manifest, copies, view, console, processes)
    processes.wait()
    found = find(manifest, folder, view)
    made, unread = len(copies.missing) - len(found.missing), len(found.missing)
    console.print(f"prepared copies: {made:,} made in {folder}, {time.monotonic() - began:.0f} s", soft_wrap=True)
    if unread:
        console.print(f"without a copy, since they cannot be read: {_pictures(unread)}", soft_wrap=True)
    return with_copies(manifest, found)


def is_wanted(prepared: str, given: Config, console: Console) -> bool:
    """Whether a model is measured on copies: those that a person asks for, or that its run has left.

    Args:
        prepared: the folder, of the run's settings or of a person's.
        given: what a person sets now, beside defaults.
        console: where to tell that the folder is gone.
    """
    if given.data.prepared is not None or (local_folder(prepared) / INFO).is_file():
        return True
    console.print(f"the prepared copies in {prepared} are gone: pictures are read whole", soft_wrap=True)
    return False


def placed(config: Config) -> Config:
    """The settings with the folder as an absolute path; raises ConfigError for a URL."""
    if config.data.prepared is None:
        return config
    return config.replace(data__prepared=str(local_folder(config.data.prepared)))


def local_folder(name: str) -> Path:
    """The folder of the setting, as an absolute path; raises ConfigError for a URL."""
    if is_url(name):
        raise ConfigError(
            f"{spelled(name)} is not a folder of this machine", where=SETTING, remedy="give a folder on a fast disk"
        )
    return Path(name).expanduser().absolute()


def _make(manifest: Manifest, copies: Copies, view: CopyView, console: Console, processes: Processes) -> None:
    if copies.outdated:
        console.print(f"prepared copies: new ones for {_pictures(len(copies.outdated))} changed since", soft_wrap=True)
    mine, total = copies.missing[processes.rank :: processes.world], len(copies.missing)
    workers = max(1, (os.cpu_count() or 1) // processes_here())
    with Waiting(console, f"preparing {_pictures(total)}", total) as waiting:
        make(manifest, copies, mine, view, workers, waiting.share(processes.world))


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def _readable(copies: Copies) -> int:
    """How many have a copy."""
    return int((copies.paths != "").sum()) - len(copies.missing)
