"""Generations of an index: the same pictures with the vectors of one model after another.

The first generation lies in the index's folder itself. Each later one is an index of its own inside it, in a folder
``generation-2`` and so on. From the first rebuild on, ``index.json`` says which one counts, so one atomic write
switches. It also keeps what it said of the first generation before that.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bier.errors import SearchError
from bier.search.writers import index_error, only_writer
from bier.system.files import write_json
from bier.system.json_files import read_object
from bier.system.json_values import anything, record

FILE = "index.json"
FORMAT = "bier-index-generations-1"
FIRST = ""
"""Name of the generation in the index's folder itself."""

_NAME = re.compile(r"generation-(\d{1,9})")


@dataclass(frozen=True)
class Generations:
    """Which generation of an index counts; it stands in index.json."""

    first: Mapping[str, Any]
    """What index.json said before there was a second one."""
    current: str = FIRST
    """The one that is searched: `FIRST`, or its folder."""
    before: str | None = None
    """The one that can be returned to; None: there is none."""

    @property
    def next(self) -> str:
        """Name of one more."""
        return f"generation-{max(number(self.current), number(self.before or FIRST)) + 1}"


def number(name: str) -> int:
    """Of a generation; the first is 1."""
    return 1 if name == FIRST else int(name.removeprefix("generation-"))


def read_generations(root: Path) -> Generations:
    """What index.json says, also where there never was a second generation.

    Raises:
        SearchError: there is no index, or the file is damaged.
        StorageError: the system refuses to read it.
    """
    file = root / FILE
    try:
        content = read_object(file)
        return _generations(content) if content.get("format") == FORMAT else Generations(content)
    except (FileNotFoundError, NotADirectoryError):
        raise SearchError(
            "is no index: it has no index.json", where=root, remedy="make one: bier index SOURCE -o INDEX --model RUN"
        ) from None
    except ValueError as error:
        raise unreadable(file, error) from error
    except OSError as error:
        raise index_error(file, error) from error


def unreadable(file: Path, reason: object) -> SearchError:
    """The error of an index.json that says something else than it should."""
    return SearchError(f"cannot be read ({reason})", where=file, remedy="restore the file from a backup")


def write_generations(root: Path, generations: Generations) -> None:
    """Switch: what opens the index from now on finds another generation.

    Raises:
        StorageError: the folder cannot be written; nothing has changed.
    """
    content = asdict(generations)
    write_json(root / FILE, {"format": FORMAT, **content, "checksum": checksum(content)})


def checksum(content: Mapping[str, Any]) -> int:
    """CRC-32 of what index.json says; that of a path with bytes that are no text is that of what is written."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return zlib.crc32(text.encode("utf-8", "replace"))


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """`only_writer` of a generation that still counts, or never has.

    Raises:
        SearchError: another one has taken its place.
    """
    with only_writer(folder):
        if _is_past(folder):
            raise SearchError(
                "the index was rebuilt with another model meanwhile, so nothing is written",
                where=folder,
                remedy="repeat the command with the model that `bier index info` names",
            )
        yield


def _is_past(folder: Path) -> bool:
    own, above = _switched(folder), _switched(folder.parent)
    return (own is not None and own.current != FIRST) or (above is not None and above.before == folder.name)


def _switched(folder: Path) -> Generations | None:
    """What a folder's index.json says of generations; None for all other folders."""
    try:
        content = read_object(folder / FILE)
        return _generations(content) if content.get("format") == FORMAT else None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise index_error(folder / FILE, error) from error


def _generations(content: dict[str, Any]) -> Generations:
    """Raises ValueError if it is not sound."""
    known = dict(_CONTENT(content, ""))
    del known["format"]
    if known.pop("checksum") != checksum(known):
        raise ValueError("its checksum is another")
    return Generations(**known)


def _object(value: Any, at: str) -> Any:
    if isinstance(value, dict):
        return value
    raise ValueError(f"{at} is no object")


def _name(value: Any, at: str) -> Any:
    if isinstance(value, str) and (value == FIRST or _NAME.fullmatch(value)):
        return value
    raise ValueError(f"{at} names no generation")


def _name_or_none(value: Any, at: str) -> Any:
    return None if value is None else _name(value, at)


_CONTENT = record(
    {
        "format": anything,
        "first": _object,
        "current": _name,
        "before": _name_or_none,
        "checksum": anything,
    }
)
