"""Files of buckets that are kept on this disk, so that a training fetches each picture once: a folder of bounded size.

A name here is made of the URL and of the version that is there, so nothing outdated is ever taken. Files are moved into
place whole. Any number of processes may use the folder: each bounds the part of it that it writes to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from bier.errors import ConfigError
from bier.system import places

FOLDER, LARGEST = "BIER_CACHE", "BIER_CACHE_GB"
"""Environment variables: where the folder is, and how large it may become."""
DEFAULT_GB = 10.0
_PARTS = 64


def content(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of a file in a bucket, or some of them, fetched unless those of its version of today are here.

    Raises:
        FileNotFoundError: there is nothing.
        PlaceError: the place cannot be asked.
    """
    part = "" if start is None else f"{start}-{end}"
    found = made(url, part, lambda: places.fetch(url, start, end))
    if isinstance(found, bytes):
        return found
    state = places.state(url)
    size = end - (start or 0) if end is not None else 0 if state is None else state[0]
    with suppress(OSError):
        data = found.read_bytes()
        if len(data) == size:
            return data
    return places.fetch(url, start, end)  # somebody has removed or damaged what was kept


def made(url: str, what: str, make: Callable[[], bytes]) -> Path | bytes:
    """A file of this disk with something that is made of a file in a bucket, once for each version of that.

    Args:
        url: of the file.
        what: is made of it, such as which part it is; empty for the file as it is.
        make: gives the content.

    Returns:
        the file, which another process may remove at any time; or the content, where nothing is kept.

    Raises:
        PlaceError: the place cannot be asked; and what ``make`` raises.
    """
    limit = _limit()
    version = places.state(url) if limit else None
    if version is None:
        return make()
    name = hashlib.sha256("\n".join([url, str(version), *filter(None, [what])]).encode()).hexdigest()
    part = folder() / f"{int(name[:8], 16) % _PARTS:02}"
    with suppress(OSError):
        os.utime(part / name)
        return part / name
    data = make()
    if len(data) <= limit // _PARTS:
        with suppress(OSError):  # a full disk: it is fetched again next time
            _keep(part, name, data)
            _bound(part, limit // _PARTS)
    return data


def folder() -> Path:
    """Where the files are."""
    own = os.environ.get(FOLDER)
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bier" / "pictures"


def _limit() -> int:
    """Bytes that the folder may hold."""
    text = os.environ.get(LARGEST, str(DEFAULT_GB))
    try:
        limit = float(text)
    except ValueError:
        limit = -1
    if not 0 <= limit < float("inf"):
        raise ConfigError(f"{text!r} is no number of gigabytes", where=LARGEST, remedy="give 10, or 0 to keep nothing")
    return int(limit * 1e9)


def _keep(part: Path, name: str, data: bytes) -> None:
    part.mkdir(parents=True, exist_ok=True)
    beside = part / f"{token_hex(8)}.tmp"
    try:
        beside.write_bytes(data)
        beside.replace(part / name)
    finally:
        beside.unlink(missing_ok=True)


def _bound(part: Path, limit: int) -> None:
    """Remove what has not been used for longest until the rest fits."""
    found = []
    for entry in os.scandir(part):
        with suppress(FileNotFoundError):  # another process has removed it
            state = entry.stat()
            found.append((state.st_mtime_ns, state.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        with suppress(FileNotFoundError):
            os.unlink(path)
        total -= size
