"""What LanceDB's errors mean: damage, a change that came second, or a system that refuses something for now."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bier.errors import BierError, SearchError
from bier.search.writers import index_error
from bier.system.files import disk_is_full
from bier.system.places import is_url

Result = TypeVar("Result")

REMEDY = "if files of the index are missing or damaged, restore them from a backup, or index again"
IN_A_BUCKET = "see that the bucket can be reached, read and written, then repeat the command"
_SYSTEM = re.compile(r"os error (\d+)")
_IN_ITS_SOURCE = re.compile(r",? *(location: Location \{|/[^ ]*\.rs:\d+).*")
_CONFLICT = re.compile(r"commit conflict|concurrent", re.IGNORECASE)
_PAUSES = [0.05 * 2**attempt for attempt in range(7)]
"""Seconds between tries of a change that met another one: six in all."""


class BusyError(SearchError):
    """Other programs were always faster."""


def try_again(change: Callable[[], Result]) -> Result:
    """What a change gives, tried again while another program's comes first.

    Raises:
        BusyError: after some seconds.
    """
    for pause in _PAUSES:
        try:
            return change()
        except Exception as error:
            if not _CONFLICT.search(str(error)):
                raise
        time.sleep(pause)
    raise BusyError("other programs change the index all the time", remedy="repeat the command: nothing is lost")


def is_damage(error: Exception) -> bool:
    """Whether files are missing or wrong, and not just out of reach for now: too many are open, say."""
    refused = _refusal(error)
    return refused.errno == errno.ENOENT if refused is not None else not isinstance(error, MemoryError)


def _refusal(error: Exception) -> OSError | None:
    """What the system says, if that is the error's reason; LanceDB puts it into a text."""
    if isinstance(error, OSError):
        return error
    number = _SYSTEM.search(str(error))
    if number is None:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if disk_is_full(error) else None
    return OSError(int(number[1]), os.strerror(int(number[1])))


@contextmanager
def lance_errors(folder: Path) -> Iterator[None]:
    """Whatever LanceDB raises, as an error of ours."""
    try:
        yield
    except BierError:
        raise
    except Exception as error:
        refused = _refusal(error)
        if refused is not None and refused.errno != errno.ENOENT:
            raise index_error(folder, refused) from error
        reason = _IN_ITS_SOURCE.sub("", str(error).splitlines()[0]) if str(error) else type(error).__name__
        remedy = IN_A_BUCKET if is_url(folder) else REMEDY
        raise SearchError(f"LanceDB cannot go on: {reason}", where=folder, remedy=remedy) from error
