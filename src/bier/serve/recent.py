"""What was just answered of pictures: their thumbnails are asked for next, one by one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any

Metadata = dict[str, Any]


class Recent:
    """Metadata by id, as it is in one version of an index; of the pictures that were answered last.

    Args:
        most: pictures that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._version: Hashable = None
        self._known: OrderedDict[str, Metadata] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, version: Hashable, answered: Iterable[tuple[str, Metadata]]) -> None:
        """Pictures that a version, or a later one, has answered; nothing is kept where an engine tells no versions."""
        if version is None:
            return
        with self._lock:
            self._turn_to(version)
            for name, metadata in answered:
                self._known[name] = metadata
                self._known.move_to_end(name)
            while len(self._known) > self._most:
                self._known.popitem(last=False)

    def of(self, version: Hashable, name: str) -> Metadata | None:
        """What is known of a picture in this version."""
        with self._lock:
            self._turn_to(version)
            return self._known.get(name)

    def _turn_to(self, version: Hashable) -> None:
        if version != self._version:
            self._known.clear()
            self._version = version
