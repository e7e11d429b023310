"""One writer at a time, and what the system says when an index cannot be written."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bier.errors import SearchError, StorageError
from bier.system.files import storage_error

SILENT = 1.0
"""Seconds of a wait that nobody is told of."""
_PAUSE = 0.005
logger = logging.getLogger("bier.search")


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process and no other thread writes the index, and keep them out.

    A wait of more than a second is logged, which is a line on the screen unless a program decides otherwise.

    Raises:
        StorageError: the folder cannot be written, or has a file system without locks.
        SearchError: the whole system has none.
    """
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        with index_errors(folder):
            _wait_for(lock, folder)
        yield
    finally:
        os.close(lock)


def _wait_for(lock: int, folder: Path) -> None:
    if sys.platform == "win32":
        _wait_on_windows(lock)
        return
    try:
        import fcntl
    except ImportError:
        raise SearchError(
            "this system cannot lock files, so an index can be read and not written", remedy="write it on another"
        ) from None
    if not _soon(partial(fcntl.flock, lock, fcntl.LOCK_EX | fcntl.LOCK_NB)):
        logger.warning("another process writes the index %s: waiting for it", folder)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _soon(lock: Callable[[], object]) -> bool:
    """Whether it could be locked within `SILENT` seconds."""
    begun = time.monotonic()
    while True:
        try:
            lock()
        except BlockingIOError:
            if time.monotonic() - begun > SILENT:
                return False
            time.sleep(_PAUSE)
        else:
            return True


def _wait_on_windows(lock: int) -> None:
    import msvcrt

    while True:
        try:
            return msvcrt.locking(lock, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,no-any-return]
        except OSError as error:
            if error.errno != errno.EDEADLOCK:  # which says that it has tried for ten seconds
                raise


@contextmanager
def index_errors(path: Path) -> Iterator[None]:
    """What the system refuses, in words that fit an index."""
    try:
        yield
    except OSError as error:
        raise index_error(path, error) from error


def index_error(path: Path, error: OSError) -> StorageError:
    """The same as an error of ours."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        remedy = "raise the limit (ulimit -n), or end other programs"
        return StorageError(f"cannot be used: {error.strerror}", where=path, remedy=remedy)
    return storage_error(path, error, "cannot be used")


def _refused(folder: Path, error: OSError) -> StorageError:
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        remedy = "change its permissions, or work on a copy"
        return StorageError(f"is read-only: {error.strerror}", where=folder, remedy=remedy)
    return index_error(folder, error)
