"""Every error that a user can meet.

    BierError                 what went wrong, where, and what to do about it
    ├─ ConfigError            a setting that is unknown, of the wrong type, or contradicts another
    ├─ DataError              a source, manifest or split that cannot be used
    │  └─ ImageError          one picture that cannot be read
    ├─ LossError              a loss that breaks its contract (shape, type, no gradient)
    │  └─ NonFiniteLossError  training stopped before an update with NaN or infinity
    ├─ ModelError             a model or backbone that cannot be built or loaded
    ├─ PlaceError             a bucket or server that cannot be read or written
    ├─ ProcessError           another process has ended, or failed
    ├─ SearchError            an index, engine or query that cannot be used
    └─ StorageError           a file that cannot be written (disk full, no permission)

The command line prints ``str(error)`` and exits with ``error.exit_code``; nothing else is a user's mistake.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from difflib import get_close_matches


class BierError(Exception):
    """An error with its place and its remedy.

    Args:
        what: what is wrong, naming the thing.
        where: file, row, field or option.
        remedy: what the user can do.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.remedy = remedy
        text = what if self.where is None else f"{self.where}: {what}"
        super().__init__(text if remedy is None else f"{text}\n  → {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default, and workers send errors across processes.
        return (_rebuild, (type(self), self.what, self.where, self.remedy))


def _rebuild(kind: type[BierError], what: str, where: str | None, remedy: str | None) -> BierError:
    return kind(what, where=where, remedy=remedy)


class ConfigError(BierError):
    """A setting that is unknown, of the wrong type, or contradicts another."""


class DataError(BierError):
    """A source, manifest or split that cannot be used."""


class ImageError(DataError):
    """One picture that cannot be read."""


class LossError(BierError):
    """A loss that breaks its contract."""


class NonFiniteLossError(LossError):
    """Training stopped before an update with NaN or infinity."""


class ModelError(BierError):
    """A model or backbone that cannot be built or loaded."""


class PlaceError(BierError):
    """A bucket or server that cannot be read or written."""


class ProcessError(BierError):
    """Another process has ended, or failed."""


class SearchError(BierError):
    """An index, engine or query that cannot be used."""


class StorageError(BierError):
    """A file that cannot be written."""


def quoted(word: object) -> str:
    """A path or another word as a shell takes it, in a command that is shown."""
    return shlex.quote(str(word))


def nearest(name: str, valid: Iterable[str]) -> str:
    """A remedy that names the nearest valid spelling, or all of them."""
    choices = list(valid)
    close = get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(choices)}"
