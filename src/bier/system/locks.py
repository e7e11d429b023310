"""Locks that end with their process, whatever ends it. They keep other threads of one process out, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_open: set[int] = set()
"""Descriptors of what this process may have locked."""


def try_lock(path: Path, flags: int = os.O_RDONLY) -> int | None:
    """Open and lock a file or a folder, without waiting.

    Returns:
        its descriptor, for `release`; None where another has it locked. A file system without locks locks nothing out.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, flags, 0o666)
    _open.add(descriptor)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        release(descriptor)
        return None
    except OSError:  # no locks here
        pass
    return descriptor


def release(descriptor: int) -> None:
    """Close what `try_lock` opened, which unlocks it."""
    if descriptor in _open:
        _open.remove(descriptor)
        os.close(descriptor)


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Keep a folder locked that nobody else locks for long."""
    if fcntl is None:  # Windows opens no folders
        yield
        return
    descriptor = try_lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            release(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody has it locked, or may have: not every file system tells."""
    if fcntl is None:
        return True
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _forget() -> None:
    """In a forked process, which would keep its parent's files locked after the parent has ended."""
    while _open:
        os.close(_open.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
