"""How far LanceDB has come with an approximate index. It tells nobody, but the system tells what it has read.

First it finds the centres of its parts among a sample of the pictures. Nothing shows how far that is. Then it reads
every vector once and sorts it into its part. It reads ahead, so the last ones are read some seconds before the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from bier.search.stages import Show
from bier.system.bytes_read import bytes_read

BUILDING = "building the approximate index"
"""All of it, where nothing is known of how much was read."""
FINDING, SORTING, WRITING = "finding the parts", "sorting pictures into parts", "writing the parts"
EVERY = 0.2
"""Seconds between two looks."""
_PART, _SAMPLED = 8192, 256
"""Pictures of a part, and those of its sample: defaults of LanceDB."""


@contextmanager
def building(show: Show, pictures: int, size: int) -> Iterator[None]:
    """Show how far it is while an approximate index is built.

    Args:
        show: is shown the stages, from a thread of its own.
        pictures: in the table.
        size: bytes of a vector; 0 where they are not read from files.
    """
    over = Event()
    watching = Thread(target=_watch, args=(show, pictures, size, over), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _watch(show: Show, pictures: int, size: int, over: Event) -> None:
    before = bytes_read()
    sample = min(pictures, _SAMPLED * math.ceil(pictures / _PART))
    while not over.wait(EVERY):
        now = bytes_read()
        if not size or before is None or now is None:
            show(BUILDING)
            continue
        read = (now - before) // size - sample
        if read <= 0:
            show(FINDING)
        elif read < pictures:
            show(SORTING, read, pictures)
        else:
            show(WRITING)
