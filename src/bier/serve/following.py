"""A server whose index is rebuilt with another model goes over to the new one between two requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bier.errors import BierError
from bier.search import Index
from bier.search.folder import open_generation
from bier.search.generations import FILE, read_generations
from bier.serve.service import Service
from bier.system.files import state_of
from bier.vectors.encoder import PictureEncoder

RETRY = 60.0
"""Seconds from a failed try to go over to the next one."""


@dataclass(frozen=True)
class Follow:
    """Where a server looks for another generation of its index, and how it loads that one's model."""

    root: Path
    """The index's folder."""
    load: Callable[[Index], PictureEncoder]
    """The model of an index."""
    tell: Callable[[str], object] = lambda text: None
    """Hears when another generation answers, or cannot be opened."""


class Following:
    """Who answers. After a rebuild, the next request has the new generation opened, while the old one answers.

    Args:
        service: answers at first. It is started and stopped here; its index stays open until it has been replaced.
        make: the same of another index and its model.
        follow: None: the first service answers to the end.
        seconds: most time of a request; then nobody has a replaced service in hand.
    """

    def __init__(
        self,
        service: Service,
        make: Callable[[Index, PictureEncoder], Service],
        follow: Follow | None,
        seconds: float,
    ) -> None:
        self._service, self._make, self._follow, self._seconds = service, make, follow, seconds
        self._lock = threading.Lock()
        self._looked: tuple[int, int] | None = None
        self._again = 0.0
        self._looking = self._stopped = False
        self._replaced: list[Service] = []
        self._opened: Index | None = None

    def __call__(self) -> Service:
        """For one request, from its beginning to its end."""
        if self._follow is not None and state_of(self._follow.root / FILE) != self._looked:
            self._look(self._follow)
        return self._service

    def start(self) -> None:
        self._service.start()

    def stop(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._stopped = True
        for service in list(self._replaced):
            self._let_go(service)
        self._service.stop()
        if self._opened is not None:
            self._opened.close()

    def _look(self, follow: Follow) -> None:
        with self._lock:
            if self._looking or self._stopped or time.monotonic() < self._again:
                return
            self._looking = True
        threading.Thread(target=self._go_over, args=(follow,), name="bier-following", daemon=True).start()

    def _go_over(self, follow: Follow) -> None:
        state = state_of(follow.root / FILE)
        try:
            service = self._newer(follow)
            if service is not None:
                self._replace(service)
                follow.tell(f"the index was rebuilt: the model {service.encoder.fingerprint[:12]} answers now")
            self._looked = state
        except BierError as error:
            self._again = time.monotonic() + RETRY
            follow.tell(f"the index was rebuilt, and the model before goes on answering: {error}")
        finally:
            self._looking = False

    def _newer(self, follow: Follow) -> Service | None:
        """A service of the generation that counts; None if that is the one that answers."""
        root = follow.root.resolve()
        generations = read_generations(root)
        if root / generations.current == self._service.index.folder:
            return None
        index = open_generation(root, generations, generations.current)
        try:
            return self._make(index, follow.load(index))
        except BaseException:
            index.close()
            raise

    def _replace(self, service: Service) -> None:
        with self._lock:
            if self._stopped:
                service.index.close()
                return
            service.start()
            before, self._service, self._opened = self._service, service, service.index
            self._replaced.append(before)
        timer = threading.Timer(self._seconds, self._let_go, [before])
        timer.daemon = True
        timer.start()

    def _let_go(self, service: Service) -> None:
        with self._lock:
            if service not in self._replaced:
                return
            self._replaced.remove(service)
        service.stop()
        service.index.close()
