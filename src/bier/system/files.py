"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bier.errors import StorageError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in place, so that ``path`` is never half-written.

    The folder is made if it is not there.

    Raises:
        StorageError: the disk is full or the folder cannot be written; what stood at ``path`` still stands.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except Exception as error:
        # Libraries wrap what the system says in errors of their own.
        if isinstance(error, OSError) or disk_is_full(error):
            raise storage_error(path, error) from error
        raise
    finally:
        with suppress(OSError):
            beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Text as UTF-8, atomically; what is not valid Unicode (a path may not be) becomes a question mark."""
    write_atomically(path, lambda file: file.write_bytes(text.encode("utf-8", "replace")))


def write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False))


def disk_is_full(error: Exception) -> bool:
    """Whether that is what the system says, or what a library has made of it."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def storage_error(path: Path, error: Exception, what: str = "cannot be written") -> StorageError:
    """What the system says about a file, with a remedy; ``what`` was to be done with it."""
    if disk_is_full(error):
        return StorageError(
            f"{what}: the disk is full",
            where=path,
            remedy="free some space and repeat the command, a training with --resume; nothing that was there is lost",
        )
    reason = getattr(error, "strerror", None) or error
    return StorageError(f"{what}: {reason}", where=path, remedy="check the folder and its permissions")


@contextmanager
def storage_errors(path: Path, what: str = "cannot be used") -> Iterator[None]:
    """`storage_error` for whatever the system refuses."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error, what) from error


def sync(path: Path) -> None:
    """Have a file's content, or a folder's list of files, on the disk, also when the power fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
