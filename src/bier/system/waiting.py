"""How far something long has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

LINE_SECONDS = 30.0
"""Where there is no terminal, a line this often instead of a bar."""


class Waiting:
    """Tells of one wait while it lasts. Nothing stays on a terminal when it is over."""

    def __init__(
        self, console: Console, what: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> None:
        """
        Args:
            console: where to tell of it.
            what: is being done.
            total: how many there are to do, where that is known.
            unit: what is counted.
            done: how many were done before.
        """
        self.console, self.what, self.total, self.unit = console, what, total, unit
        self.done = self.before = done
        self.began = self.last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=8),
            _Now(self.text),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Waiting:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def turn(self, unit: str, total: int | None = None, what: str = "") -> None:
        """The next part of the same wait, which counts something else from the start."""
        self.done, self.before, self.began = 0, 0, time.monotonic()
        self.what, self.unit, self.total = what or self.what, unit, total
        self._bar.remove_task(self._task)  # of one that is there, the total cannot become unknown
        self._task = self._bar.add_task(self.what, total=total)

    def stage(self, what: str, done: int = 0, total: int | None = None, unit: str = "pictures") -> None:
        """How far a stage of the same wait has come; without a total, nothing tells that but the time it has taken."""
        if what != self.what:
            self.turn(unit, total, what)
        self.show(done, total)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self.show(self.done + count)

    def share(self, processes: int) -> Callable[[int], None]:
        """`advance` for one of several processes that do equal shares."""
        return lambda count: self.advance(count * processes)

    def show(self, done: int, total: int | None = None) -> None:
        """So many are done, of so many where that was not known before."""
        self.done, self.total = done, total or self.total
        self._bar.update(self._task, description=self.what, total=self.total, completed=done)
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_SECONDS:
            self.last_line = time.monotonic()
            self.console.print(f"{self.what}: {self.text()}", soft_wrap=True)

    def text(self) -> str:
        """Such as ``640 of 2,953 images, 61 images/s, 38 s left``; ``12 s`` where nothing is counted."""
        taken = max(time.monotonic() - self.began, 1e-9)
        if not self.done and self.total is None:
            return in_words(taken)
        speed = (self.done - self.before) / taken
        done = min(self.done, self.total) if self.total else self.done
        parts = [f"{done:,}{f' of {self.total:,}' if self.total else ''} {self.unit}", f"{speed:,.0f} {self.unit}/s"]
        if self.total and speed:
            parts.append(f"{in_words((self.total - done) / speed)} left")
        return ", ".join(parts)


class _Now(ProgressColumn):
    """What a function says at each refresh, so that seconds go on where nothing new is counted."""

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(self._text())


def in_words(seconds: float) -> str:
    """A span of time as a person says it: ``38 s``, ``12 min``, ``3 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
