"""Threads for work that takes time, and the memory that they share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """So many threads for one kind of work.

    Whoever awaits may give up at a time limit. What has begun goes on then, and keeps its thread until it has ended.
    """

    def __init__(self, kind: str, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=f"bier-{kind}")

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.wrap_future(self._pool.submit(partial(work, *arguments)))

    def stop(self) -> None:
        """Begin nothing more; what has begun goes on."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Memory:
    """Bytes that threads take in turns. What does not fit beside the others waits."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._free = most
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """Have so many bytes, at most `most`, meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
