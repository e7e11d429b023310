"""Files that are elsewhere: in a bucket or on a web server, by URL. Nobody else knows fsspec.

    s3://bucket/photos/boots/1.jpg    gs://    az://    http://    https://    memory://

Every request is tried several times, with longer and longer pauses. What still fails is a `PlaceError`.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import io
import os
import random
import re
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path, PosixPath
from typing import Any, NamedTuple, TypeVar

from bier.errors import PlaceError

Result = TypeVar("Result")
State = tuple[int, int]

_URL = re.compile(r"(s3|gs|az|https?|memory):/+")
PAUSES = (0.3, 1.0, 3.0)
"""Seconds between two tries of a request, give or take half of it."""
TIMEOUT = 30
"""Seconds without a byte after which a request is tried again."""
_BLOCK = 1 << 20
_AT_ONCE = 16

_states: dict[str, State | None] = {}
"""What listings and earlier questions have told, since a source was last opened."""
_entries: dict[str, dict[str, bool]] = {}
"""What is right in a folder, likewise."""
_WILD = frozenset("*?[")


def is_url(place: str | Path) -> bool:
    """Whether it names something in a bucket or on a server, and not a file of this machine."""
    return _URL.match(str(place)) is not None


def spelled(url: str) -> str:
    """With two slashes behind the scheme, of which a Path makes one."""
    return _URL.sub(r"\1://", url, count=1)


def path_of(place: str | Path) -> Path:
    """A `Place` for a URL; for anything else the absolute path."""
    if isinstance(place, Place):
        return place
    return Place(str(place)) if is_url(place) else Path(os.path.abspath(Path(place).expanduser()))


def as_path(place: str | Path) -> Path:
    """A `Place` for a URL; for anything else the path as it is given."""
    return path_of(place) if is_url(place) else Path(place)


def source(place: str | Path) -> Path:
    """`path_of` a source that is about to be read, or of files such as ``s3://bucket/shards/*.tar``.

    What was known of buckets is forgotten.

    Raises:
        PlaceError: there is nothing, or the place cannot be asked.
    """
    _states.clear()
    _entries.clear()
    path = path_of(place)
    if isinstance(path, Place) and not exists(path):
        raise _missing(str(path))
    return path


def exists(path: Path) -> bool:
    """Whether something is there, or files that a wildcard stands for; a path that cannot be one is none."""
    return bool(matching(path)) or path.exists() if isinstance(path, Place) else os.path.exists(path)


def matching(path: Path) -> list[str]:
    """Names of the files in a bucket that ``s3://bucket/shards/*.tar`` stands for; none without a wildcard.

    Raises:
        PlaceError: the folder cannot be listed.
    """
    if not isinstance(path, Place) or str(path).startswith("http") or _WILD.isdisjoint(path.name):
        return []
    return fnmatch.filter([name for name, folder in entries(path.parent).items() if not folder], path.name)


def entries(folder: Path) -> dict[str, bool]:
    """Names of what is right in a folder of a bucket, each with whether it is a folder; empty where there is none.

    Raises:
        PlaceError: the folder cannot be listed.
    """
    url = str(folder)
    if url not in _entries:
        try:
            found = _ask(url, lambda system, where: system.ls(where, detail=True))
        except FileNotFoundError:
            found = []
        _entries[url] = {}
        for info in found:
            name = info["name"].rstrip("/").rpartition("/")[2]
            if _without_scheme(info["name"]).rstrip("/") != _without_scheme(url).rstrip("/"):  # some name themselves
                _remember(f"{url}/{name}", info)
                _entries[url][name] = info["type"] == "directory"
    return _entries[url]


class Place(PosixPath):
    """A URL where code expects a path: it can be asked, listed and read as one."""

    def __str__(self) -> str:
        return spelled(super().__str__())

    def absolute(self) -> Place:
        return self

    def resolve(self, strict: bool = False) -> Place:
        return self

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return _kind(str(self)) is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return _kind(str(self)) == "file"

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return _kind(str(self)) == "directory"

    def iterdir(self) -> Generator[Place, None, None]:
        """What lies right in it; nothing where there is no such folder."""
        if self.exists():
            yield from (self / name for name in sorted({name.partition("/")[0] for name in listed(self)}))

    def read_bytes(self) -> bytes:
        """Its content.

        Raises:
            FileNotFoundError: there is nothing.
            PlaceError: the place cannot be asked, or its answers end too early.
        """
        return fetch(str(self))


def listed(folder: Place) -> list[str]:
    """The files below a folder, by their paths relative to it.

    Raises:
        PlaceError: the folder cannot be listed.
    """
    try:
        found = _ask(str(folder), lambda system, url: system.find(url, detail=True))
    except FileNotFoundError:
        return []
    root = _without_scheme(str(folder)).rstrip("/") + "/"
    names = []
    for key, info in found.items():
        name = _without_scheme(key).removeprefix(root)
        _remember(f"{folder}/{name}", info)
        names.append(name)
    return names


def look_up(urls: Iterable[str]) -> None:
    """Learn the states of many files with few requests: a folder that holds several of them is listed, once.

    Raises:
        PlaceError: a folder cannot be listed.
    """
    folders: dict[str, list[str]] = {}
    for url in dict.fromkeys(urls):
        if url not in _states:
            folders.setdefault(url.rpartition("/")[0], []).append(url)
    questions: list[Callable[[], object]] = []
    for folder, files in folders.items():
        if len(files) > 1 and not folder.startswith("http"):  # whose listings tell no versions
            questions.append(partial(_look_into, folder, files))
        else:
            questions += [partial(state, file) for file in files]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for answer in [pool.submit(question) for question in questions]:
            answer.result()


def _look_into(folder: str, files: list[str]) -> None:
    """What of these files is right in the folder; of the others it is known that they are not there."""
    try:
        found = _ask(folder, lambda system, url: system.ls(url, detail=True))
    except FileNotFoundError:
        found = []
    for info in found:
        _remember(f"{folder}/{info['name'].rpartition('/')[2]}", info)
    for file in files:
        _states.setdefault(file, None)


def _remember(url: str, info: dict[str, Any]) -> None:
    """What a listing says of a file; nothing where it says less than the file itself would."""
    if info["type"] != "directory" and (found := _state(info)) is not None:
        _states[url] = found


def state(url: str) -> State | None:
    """Size and version of what is there, by which something that was replaced is known; none if there is nothing."""
    if url not in _states:
        info = _info(url)
        _states[url] = None if info is None else _state(info)
    return _states[url]


def fetch(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes that are there, or some of them.

    Raises:
        FileNotFoundError: there is nothing.
        PlaceError: the place cannot be asked, or its answers end too early.
    """
    data: bytes = _ask(url, lambda system, where: system.cat_file(where, start=start, end=end))
    return data


def write(url: str, data: bytes) -> None:
    """Put bytes there, all of them or none.

    Raises:
        PlaceError: the place takes none.
    """
    if url.startswith("http"):
        raise PlaceError("a web server is read only", where=url, remedy="write into a bucket or a folder")
    try:
        _ask(url, lambda system, where: system.pipe_file(where, data))
    except FileNotFoundError as error:
        raise _missing(url) from error
    _states.pop(url, None)


def opened(path: Path | str) -> Any:
    """What Parquet readers take: the path of a file, or an open file for a URL, of which the needed parts are read."""
    return io.BufferedReader(_Remote(spelled(str(path))), _BLOCK) if is_url(path) else path


class _Remote(io.RawIOBase):
    """A file that is read in pieces."""

    def __init__(self, url: str) -> None:
        info = _info(url)
        if info is None:
            raise FileNotFoundError(2, "there is nothing", url)
        self._url, self._size, self._place = url, int(info["size"]), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        end = min(self._place + len(buffer), self._size)
        data = fetch(self._url, self._place, end) if end > self._place else b""
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def _without_scheme(url: str) -> str:
    return _URL.sub("", url, count=1).lstrip("/")


def _kind(url: str) -> str | None:
    info = _info(url)
    if info is not None and url.startswith("http"):  # a server does not tell a page from a folder
        return "file" if "." in url.rpartition("/")[2] else "directory"
    return None if info is None else str(info["type"])


def _info(url: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = _ask(url, lambda system, where: system.info(where))
    except FileNotFoundError:
        return None
    return found


_VERSION = ("ETag", "etag", "LastModified", "last_modified", "Last-Modified", "updated", "created")


def _state(info: dict[str, Any]) -> State | None:
    """None where the place says nothing by which another version would be known."""
    said = next((info[name] for name in _VERSION if info.get(name)), None)
    if said is None:
        return None
    # Listings may leave the quotes out, or write a time in another way.
    text = str(said.timestamp() if isinstance(said, datetime) else said).strip('"')
    digest = hashlib.sha256(text.encode()).digest()
    return int(info.get("size") or 0), int.from_bytes(digest[:7], "big")


def _ask(url: str, do: Callable[[Any, str], Result]) -> Result:
    """What a file system answers, after a few tries if need be.

    Raises:
        FileNotFoundError: there is nothing.
        PlaceError: all tries have failed, or there is no use in another one.
    """
    for pause in (*PAUSES, None):
        try:
            return do(_system(url), url)
        except PlaceError:
            raise
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such file", url) from error
        except Exception as error:  # each library has its own
            fault = _fault_of(error)
            if pause is None or not fault.passes:
                detail = fault.what.format(error=_in_words(error), seconds=TIMEOUT)
                raise PlaceError(detail, where=url, remedy=fault.remedy) from error
        time.sleep(pause * random.uniform(0.5, 1.5))
    raise AssertionError


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


_EXTRAS = {"https": "http"}
"""Where the extra is not called as the scheme."""


def _system(url: str) -> Any:
    """The file system of a URL; fsspec keeps those that are made."""
    import fsspec

    scheme = url.partition(":")[0]
    try:
        system = fsspec.filesystem(scheme, **_options(scheme))
    except ImportError as error:
        extra = _EXTRAS.get(scheme, scheme)
        raise PlaceError(
            f"{scheme}:// needs a package that is not installed", where=url, remedy=f"pip install 'bier-dml[{extra}]'"
        ) from error
    if scheme == "s3":
        system.retries = 1  # `_ask` repeats
    return system


def _options(scheme: str) -> dict[str, Any]:
    return {"use_listings_cache": False, **_limits(scheme)}  # `_states` says more, and is forgotten in time


def _limits(scheme: str) -> dict[str, Any]:
    """How long an answer is waited for, as each library calls it."""
    if scheme == "s3":
        limits = {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "retries": {"max_attempts": 0}}
        return {"config_kwargs": limits, "max_concurrency": 1}  # with more it asks for the size before each answer
    if scheme in ("http", "https"):
        import aiohttp

        return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=None, connect=TIMEOUT, sock_read=TIMEOUT)}}
    return {}


class _Fault(NamedTuple):
    what: str
    remedy: str
    passes: bool
    """Whether it may be over at the next try."""


_CREDENTIALS = _Fault(
    "there are no credentials for it",
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or your provider's; for a public bucket FSSPEC_S3_ANON=true",
    False,
)
_DENIED = _Fault("access is denied ({error})", "check the credentials, and what they may read and write", False)
_AWAY = _Fault(
    "the server cannot be reached ({error})", "check the address, AWS_ENDPOINT_URL and the network; then repeat", True
)
_SLOW = _Fault("the server gave no answer within {seconds} s", "repeat the command: it goes on, or starts again", True)
_CUT = _Fault("the answer was cut off ({error})", "repeat the command: it goes on, or starts again", True)
_FAILS = _Fault("the server fails ({error})", "repeat the command: it goes on, or starts again", True)

_FAULTS = {
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "DefaultCredentialsError": _CREDENTIALS,
    "ClientAuthenticationError": _CREDENTIALS,
    "PermissionError": _DENIED,
    "ClientPayloadError": _CUT,
    "ResponseStreamingError": _CUT,
    "IncompleteReadError": _CUT,
    "IncompleteRead": _CUT,
    "ServerDisconnectedError": _CUT,
    "ConnectionClosedError": _CUT,
    "TimeoutError": _SLOW,
    "FSTimeoutError": _SLOW,
    "ReadTimeoutError": _SLOW,
    "ConnectTimeoutError": _AWAY,
    "EndpointConnectionError": _AWAY,
    "ClientConnectorError": _AWAY,
    "ConnectionRefusedError": _AWAY,
}
"""By the names of exceptions of the libraries, so that none has to be imported."""


def _fault_of(error: BaseException) -> _Fault:
    status = getattr(error, "status", None)
    if status in (401, 403):
        return _DENIED
    names = [kind.__name__ for kind in type(error).__mro__]
    known = next((_FAULTS[name] for name in names if name in _FAULTS), None)
    if known is None and error.__cause__ is not None:
        return _fault_of(error.__cause__)
    return known or _FAILS


def _missing(url: str) -> PlaceError:
    bucket, slash, _ = _without_scheme(url).partition("/")
    top = f"{url.partition(':')[0]}://{bucket}"
    if (slash and not url.startswith(("http", "memory")) and _kind(top) is None) or not slash:
        return PlaceError("there is no such bucket", where=top, remedy="check its name, and whose credentials are used")
    return PlaceError("there is no such file or folder", where=url, remedy="check the path within the bucket")
