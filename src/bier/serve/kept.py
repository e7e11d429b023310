"""What takes long to read from an index: read by whoever asks first, and kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

FRESH = 60.0
"""Seconds after which it is read again; at once when the number of pictures changes."""

Content = TypeVar("Content")


@dataclass(eq=False)
class _Reading(Generic[Content]):
    """What is kept, or being read."""

    count: int
    """Pictures in the index when it was begun."""
    content: Future[Content] = field(default_factory=Future)
    begun: float = field(default_factory=time.monotonic)


class Kept(Generic[Content]):
    """Contents by key, the last `most` that were asked for.

    Several may be read at once, each by one thread; whoever asks for the same one waits for it. A failure is told to
    all who wait, and not kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._readings: dict[Hashable, _Reading[Content]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, count: int, read: Callable[[], Content]) -> Content:
        """The content, read now if it is not there, or was read of another number of pictures."""
        with self._lock:
            known = self._fresh(key, count)
            mine = known is None
            self._readings.pop(key, None)
            self._readings[key] = known = known or _Reading(count)
            while len(self._readings) > self._most:
                del self._readings[next(iter(self._readings))]
        if mine:
            self._fill(known, read)
        return known.content.result()

    def there(self, key: Hashable, count: int) -> Content | None:
        """The content, if nobody has to wait for it."""
        with self._lock:
            known = self._fresh(key, count)
        return known.content.result() if known is not None and known.content.done() else None

    def _fresh(self, key: Hashable, count: int) -> _Reading[Content] | None:
        known = self._readings.get(key)
        stale = known is None or known.count != count or time.monotonic() - known.begun > FRESH
        return None if stale else known

    def _fill(self, reading: _Reading[Content], read: Callable[[], Content]) -> None:
        try:
            reading.content.set_result(read())
        except BaseException as error:
            with self._lock:
                self._readings = {key: one for key, one in self._readings.items() if one is not reading}
            reading.content.set_exception(error)
