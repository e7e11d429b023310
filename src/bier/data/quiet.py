"""Decoders that talk while they work, held to silence: what matters is raised, and names the picture.

Pillow and its plugins warn through Python. libjpeg and libpng within torchcodec print to the standard error of the C
library, and have no setting for it. Python's filter and the C library's stream belong to the whole process. So they are
changed when the first of several threads begins to decode, and set back when the last one has ended. What other threads
print through the C library in between is lost. Python's own standard error is never touched, and no file is redirected.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_TALKERS = r"(PIL|pillow_heif|pillow_jxl)\b"

logging.getLogger("PIL").addHandler(
    logging.NullHandler()
)  # else errors go to standard error without the picture's name


class _Silence:
    """How many threads decode, and what was there before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.decoding = 0
        self.filters = warnings.catch_warnings()

    def begin(self) -> None:
        with self.lock:
            self.decoding += 1
            if self.decoding > 1:
                return
            self.filters = warnings.catch_warnings()
            self.filters.__enter__()
            warnings.filterwarnings("ignore", module=_TALKERS)
            _print_nowhere(True)

    def end(self) -> None:
        with self.lock:
            self.decoding -= 1
            if self.decoding == 0:
                _print_nowhere(False)
                self.filters.__exit__(None, None, None)


_silence = _Silence()


def _begin_anew() -> None:
    """In a forked child: the threads that were decoding are not there."""
    global _silence
    _silence = _Silence()
    _print_nowhere(False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, decoders in any thread print nothing."""
    silence = _silence
    silence.begin()
    try:
        yield
    finally:
        silence.end()


def _print_nowhere(nowhere: bool) -> None:
    streams = _streams()
    if streams is not None:
        variable, usual, null = streams
        variable.value = null if nowhere else usual


@cache
def _streams() -> tuple[ctypes.c_void_p, int | None, int] | None:
    """The C library's variable `stderr`, its usual value, and a stream to nowhere; none where it cannot be set."""
    try:
        os.confstr("CS_GNU_LIBC_VERSION")  # others keep the variable where it must not be written
        library = ctypes.CDLL(None)
        variable = ctypes.c_void_p.in_dll(library, "stderr")
        library.fopen.restype = ctypes.c_void_p
        null = library.fopen(b"/dev/null", b"we")
        return (variable, variable.value, null) if null else None
    except (AttributeError, OSError, ValueError):
        return None
