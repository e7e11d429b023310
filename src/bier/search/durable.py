"""What has been written stays written, also when the power fails; and what the system says about it, in our words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bier.errors import StorageError
from bier.system.files import disk_is_full


def sync(path: Path) -> None:
    """Have a file's content, or a folder's list of files, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Name the place and the remedy when the system refuses to read or write."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: Exception) -> StorageError:
    if disk_is_full(error):
        remedy = "free some space and repeat the command; everything stored before is still there"
        return StorageError("cannot be written: the disk is full", where=path, remedy=remedy)
    reason = getattr(error, "strerror", None) or error
    return StorageError(f"cannot be used: {reason}", where=path, remedy="check the folder and its permissions")
