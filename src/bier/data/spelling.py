"""The file that a path means where none is spelled exactly so."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


def other_spelling(path: Path) -> Path | None:
    r"""The one file that a person would take this path for, or none.

    It may differ in the Unicode form of its names, in upper and lower case, and in ``\`` for ``/``: tables are written
    on other systems than those that read them.
    """
    place, *parts = Path(os.path.abspath(str(path).replace("\\", "/"))).parts
    for part in parts:
        exact = os.path.join(place, part)
        name = part if os.path.lexists(exact) else _alike(place, part)
        if name is None:
            return None
        place = os.path.join(place, name)
    return Path(place)


def _alike(folder: str, name: str) -> str | None:
    """The only name in a folder that looks the same, or else the only one that differs by case."""
    try:
        names = _names(folder, os.stat(folder).st_mtime_ns)
    except (OSError, ValueError):
        return None
    for found in (names.form.get(_form(name), []), names.caseless.get(_caseless(name), [])):
        if len(found) == 1:
            return found[0]
    return None


class _Names(NamedTuple):
    """The names in a folder by what they look like, with and without regard to case."""

    form: dict[str, list[str]]
    caseless: dict[str, list[str]]


@lru_cache(maxsize=64)
def _names(folder: str, changed: int) -> _Names:
    """Read again when the folder has changed."""
    found = _Names(defaultdict(list), defaultdict(list))
    for name in os.listdir(folder):
        found.form[_form(name)].append(name)
        found.caseless[_caseless(name)].append(name)
    return found


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _caseless(name: str) -> str:
    return _form(_form(name).casefold())
