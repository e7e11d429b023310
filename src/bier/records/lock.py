"""A run's folder belongs to one command at a time."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bier.errors import BierError, ConfigError
from bier.records.folder import RunFolder
from bier.system.files import storage_errors, tidy
from bier.system.locks import release, try_lock
from bier.system.processes import ALONE, Processes

_holders: dict[Path, int] = {}
"""The threads of this process that hold a folder."""


@contextmanager
def held(folder: Path, processes: Processes = ALONE) -> Iterator[None]:
    """Keep a run's folder for this command, and tidy it; it is made if it is not there.

    Rank 0 holds it for all processes of a run. The thread that holds it may do so again. It is free as soon as its
    holder has ended, whatever ended it.

    Raises:
        ConfigError: another process holds it, which is named.
        StorageError: nothing can be written there.
    """
    with ExitStack() as stack:
        refusal: BierError | None = None
        if processes.first:
            try:
                stack.enter_context(_held(folder))
            except BierError as error:
                refusal = error
        refusal = processes.gather_objects(refusal)[0]
        if refusal is not None:
            raise refusal
        yield


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    place, me = folder.resolve(), threading.get_ident()
    if _holders.get(place) == me:
        yield
        return
    with storage_errors(folder, "cannot be written"):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        descriptor = _locked(folder)
    _holders[place] = me
    try:
        tidy(folder)
        yield
    finally:
        del _holders[place]
        with suppress(OSError):
            RunFolder(folder).lock.unlink()
        release(descriptor)
        with suppress(OSError):  # something is in it
            for path in made:
                path.rmdir()


def _locked(folder: Path) -> int:
    """The descriptor of the lock file, which says who holds it."""
    lock = RunFolder(folder).lock
    descriptor = None
    while descriptor is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = _lock_of_now(folder, lock)
        except (FileNotFoundError, FileExistsError):
            # The last holder removes the lock, and a folder with nothing else in it. What stands there otherwise stays.
            if os.path.lexists(folder) and not folder.is_dir():
                raise
    os.truncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return descriptor


def _lock_of_now(folder: Path, lock: Path) -> int | None:
    """None if the lock was removed while it was taken."""
    descriptor = try_lock(lock, os.O_RDWR | os.O_CREAT)
    if descriptor is None:
        raise _in_use(folder, lock)
    if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
        return descriptor
    release(descriptor)
    return None


def _in_use(folder: Path, lock: Path) -> ConfigError:
    holder = ""
    with suppress(OSError):
        holder = lock.read_text(encoding="utf-8", errors="replace")
    return ConfigError(
        f"is in use by {holder or 'another process'}",
        where=folder,
        remedy="wait until it has ended, or give another --out",
    )
