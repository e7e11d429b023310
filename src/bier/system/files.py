"""Files that are written whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from bier.errors import StorageError
from bier.system.locks import is_locked, locked_folder
from bier.system.places import Place, is_url, spelled, state
from bier.system.places import write as write_object

Content = TypeVar("Content")

_WORKROOM = re.compile(r"\..*\.[0-9a-f]{16}\.(tmp|new)")
_BEGINNING = 60.0
"""Seconds after which a workroom that is not locked is not just being made."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file of that name in a new folder beside ``path``, then put it in place.

    So ``path`` is never half-written, and stays when the power fails. Its mode is that of any new file. Its folder is
    made if it is not there.

    Raises:
        StorageError: the disk is full or the folder cannot be written; what stood at ``path`` still stands.
        PlaceError: the same, of a bucket.
    """
    if isinstance(path, Place):
        return _upload(path, write)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _workroom(path) as room:
            beside = room / path.name
            write(beside)
            beside.chmod(room.stat().st_mode & 0o666)  # libraries that make files in private say 0600
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        sync_folder(path.parent)
    except Exception as error:
        # Libraries wrap what the system says in errors of their own.
        if isinstance(error, OSError) or disk_is_full(error):
            raise storage_error(path, error) from error
        raise


def _upload(path: Place, write: Callable[[Path], object]) -> None:
    """A bucket shows an object once it is there as a whole."""
    with TemporaryDirectory() as room:
        file = Path(room) / path.name
        write(file)
        write_object(str(path), file.read_bytes())


@contextmanager
def _workroom(path: Path) -> Iterator[Path]:
    """A folder for one writer, whatever machine, process or thread it is; locked, so that `tidy` leaves it alone."""
    room = path.with_name(f".{path.name[:40]}.{token_hex(8)}.tmp")
    new = room.with_suffix(".new")  # which `tidy` passes over, until it is locked or old
    new.mkdir()
    with locked_folder(new):
        try:
            new.rename(room)
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder; what another one is writing stays."""
    with suppress(OSError):
        for path in folder.iterdir():
            if _WORKROOM.fullmatch(path.name) and not _is_beginning(path) and not is_locked(path):
                shutil.rmtree(path, ignore_errors=True)


def is_free(folder: Path) -> bool:
    """Whether a folder is not there yet, or holds nothing but what writers that were killed have left."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(_WORKROOM.fullmatch(path.name) for path in folder.iterdir())


def _is_beginning(room: Path) -> bool:
    return room.suffix == ".new" and time.time() - room.stat().st_mtime < _BEGINNING


def write_text(path: Path, text: str) -> None:
    """Text as UTF-8, atomically; what is not valid Unicode (a path may not be) becomes a question mark."""
    write_atomically(path, lambda file: file.write_bytes(text.encode("utf-8", "replace")))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table as `write_text` writes text, with a line for the header and one for each row."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


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


def state_of(file: Path | str) -> tuple[int, int] | None:
    """Size and time of the last change, by which a file that was replaced is known; none if there is no file.

    In a bucket, a version takes the place of the time.
    """
    if is_url(file):
        return state(spelled(str(file)))
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


class WhileUnchanged(Generic[Content]):
    """What a file says, read again only when the file has changed, come or gone. Several threads may ask.

    Args:
        file: is looked at each time.
        read: gives its content, also where there is no such file; what it raises is raised each time.
    """

    def __init__(self, file: Path, read: Callable[[], Content]) -> None:
        self._file, self._read = file, read
        self._known: tuple[tuple[int, int] | None, Content] | None = None

    def __call__(self) -> Content:
        state, known = state_of(self._file), self._known
        if known is None or known[0] != state:
            self._known = known = state, self._read()
        return known[1]


def sync(path: Path) -> None:
    """Have a file's content, or a folder's list of files, on the disk, also when the power fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """`sync` where the file system can do that to a folder."""
    try:
        sync(path)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
