"""``bier``: from its first moment on, Ctrl-C and SIGTERM end it with a word, also while packages are imported."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from bier.cli.launched import LAUNCHER, STOPPED, is_launched, is_rank_0
from bier.system.parent import end_with


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one message and exit code 2, never a traceback."""
    if LAUNCHER in os.environ:
        end_with(int(os.environ[LAUNCHER]))
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _stopped_by_signals(given):
            from bier.cli.commands import run  # takes half a second

            run(given)
    except KeyboardInterrupt:
        sys.stderr.write(_last_word(given))
        sys.exit(STOPPED)


def _last_word(given: list[str]) -> str:
    if not is_rank_0():  # all have the same command line
        return ""
    return f"stopped; the same command goes on, or starts again:\n  {shlex.join(['bier', *given])}\n"


@contextmanager
def _stopped_by_signals(given: list[str]) -> Iterator[None]:
    """SIGTERM and Ctrl-C are a KeyboardInterrupt; the second one does not wait for anything.

    While a package is imported, the process ends at once. Where C++ calls Python meanwhile, as torch does, an exception
    would abort it. What is on disk survives that, as it does a kill.

    ``torchrun`` passes Ctrl-C on to processes that have had it already, so there the second means nothing.
    """
    second = signal.SIG_IGN if is_launched() else signal.SIG_DFL

    def stop(signum: int, frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, second)
        if _importing(frame):
            with suppress(OSError, RuntimeError):  # a closed pipe, or stopped in the middle of a write
                sys.stdout.flush()
            os.write(2, _last_word(given).encode(errors="backslashreplace"))
            os._exit(STOPPED)
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


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
