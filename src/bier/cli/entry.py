"""``bier``: from its first moment on, Ctrl-C and SIGTERM end it with a word, also while packages are imported."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from bier.cli.launched import LAUNCHER, STOPPED, is_launched, is_rank_0
from bier.system.parent import end_with


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one message and exit code 2, never a traceback."""
    if LAUNCHER in os.environ:
        end_with(int(os.environ[LAUNCHER]))
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _stopped_by_signals():
            from bier.cli.commands import run  # takes half a second

            run(given)
    except KeyboardInterrupt:
        if is_rank_0():  # all have the same command line
            sys.stderr.write(f"stopped; the same command goes on, or starts again:\n  {shlex.join(['bier', *given])}\n")
        sys.exit(STOPPED)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C are a KeyboardInterrupt; the second one does not wait for anything.

    ``torchrun`` passes Ctrl-C on to processes that have had it already, so there the second means nothing.
    """
    second = signal.SIG_IGN if is_launched() else signal.SIG_DFL

    def stop(signum: int, frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, second)
        raise KeyboardInterrupt

    before: dict[signal.Signals, object] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell has it for what runs in the background
                before[number] = signal.signal(number, stop)
    except ValueError:  # not the main thread, which alone may handle signals
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
