"""Freed memory: used again, which makes training on a CPU nearly twice as fast under glibc; or given back."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of <malloc.h>


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the next allocation; whether it could.

    A network's activations are large blocks, which glibc takes from the system and gives back at each step, so that
    the kernel clears the same pages over and over. Kept, they leave the process as large as its largest moment. It
    holds for the whole process and those that it forks: call it in a program, not in a library.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


def give_back_freed_memory() -> None:
    """Have the C library give back what it keeps, after much was read at once; other libraries give it back anyway."""
    if sys.platform.startswith("linux"):
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
