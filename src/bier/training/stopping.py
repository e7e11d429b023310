"""Ctrl-C and SIGTERM: a run stops after the step in hand, or while validating, with a checkpoint."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is saved."""


@contextlib.contextmanager
def stop_requested(alone: bool) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM set a flag that is looked at after each step, and while validating.

    A second Ctrl-C is not waited for. ``torchrun`` passes Ctrl-C on to processes that have had it already, so there the
    second means nothing.
    """
    asked = False

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and alone and signum == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread, which alone may handle signals
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
