"""Pictures of many requests go through the model together."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import torch
from torch import Tensor

Waiting = tuple[Tensor, "Future[Tensor]"]


class Batches:
    """One thread that owns the model: it takes what waits, up to `most` pictures, and answers all of them.

    Args:
        encode: uint8 (b, 3, size, size) to (b, D).
        most: pictures in a batch.
        wait: seconds that the first picture of a batch waits for others.
        done: told the size of each batch and the seconds it took.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        most: int,
        wait: float,
        done: Callable[[int, float], object] = lambda size, seconds: None,
    ) -> None:
        self._encode, self._most, self._wait, self._done = encode, most, wait, done
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="bier-model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, image: Tensor) -> Future[Tensor]:
        """The vector (D,) of a prepared picture uint8 (3, size, size), once its batch is through."""
        future: Future[Tensor] = Future()
        self._waiting.put((image, future))
        return future

    def _work(self) -> None:
        ended = False
        while not ended:
            taken, ended = self._take()
            # Whoever gave up (a time limit, a lost connection) is not computed for.
            batch = [(image, future) for image, future in taken if future.set_running_or_notify_cancel()]
            if batch:
                self._answer(batch)

    def _take(self) -> tuple[list[Waiting], bool]:
        """The next batch, and whether it is the last."""
        first = self._waiting.get()
        if first is None:
            return [], True
        batch, deadline = [first], time.monotonic() + self._wait
        while len(batch) < self._most:
            try:
                item = self._waiting.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _answer(self, batch: list[Waiting]) -> None:
        started = time.perf_counter()
        try:
            vectors = self._encode(torch.stack([image for image, _ in batch]))
        except Exception as error:  # the thread must outlive it; each request reports it
            for _, future in batch:
                future.set_exception(error)
            return
        self._done(len(batch), time.perf_counter() - started)
        for (_, future), vector in zip(batch, vectors, strict=True):
            future.set_result(vector)
