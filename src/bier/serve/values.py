"""What a field of the metadata can be, with counts: what a filter offers to somebody who types."""

from __future__ import annotations

import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from bier.data.fields import Scalar, shown
from bier.data.fields import Value as Held
from bier.search import Index

MOST_VALUES = 100_000
"""Different values of a field that are told apart, those read first; a field with more is no filter."""
FRESH = 60.0
"""Seconds after which a field is read again; at once when the number of pictures changes."""
_COMPARED = 5000
"""Values that a misspelt one is compared with, the most frequent ones."""

Value = Scalar | None


@dataclass(frozen=True)
class Matches:
    """The values that hold what was typed."""

    values: list[tuple[Value, int]]
    """Each with its number of pictures, in the order in which they are shown."""
    count: int
    """Values in all; `values` may be fewer."""
    nearest: list[str]
    """Values that are written much like it, where none holds it."""


class Counted:
    """The values of one field and how many pictures have each."""

    def __init__(self, counts: Counter[Value]) -> None:
        self._counts = counts

    @cached_property
    def _folded(self) -> list[tuple[str, Value]]:
        """Without case and accents, in alphabetical order, numbers by size; no value at all comes last."""
        return sorted(((folded(shown(value)), value) for value in self._counts), key=_place)

    def matching(self, part: str, limit: int) -> Matches:
        """Values that hold every word of `part`, those that begin with it first."""
        words, start = folded(part).split(), folded(part.strip())
        found = self._folded
        for word in words:
            found = [one for one in found if word in one[0]]
        if words:
            found = [one for one in found if one[1] is not None]
            found.sort(key=lambda one: not one[0].startswith(start))  # stable: alphabetical within each half
        shown = [(value, self._counts[value]) for _, value in found[:limit]]
        return Matches(shown, len(found), [] if found else self._nearest(start))

    def _nearest(self, text: str) -> list[str]:
        near = get_close_matches(text, self._spellings, n=3, cutoff=0.7)
        return list(dict.fromkeys(self._spellings[spelling] for spelling in near))

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """The most frequent values by themselves, and by each of their words."""
        frequent = [value for value, _ in self._counts.most_common(_COMPARED) if value and isinstance(value, str)]
        words = {word: value for value in reversed(frequent) for word in folded(value).split()}
        return words | {folded(value): value for value in reversed(frequent)}


@dataclass
class _Reading:
    """A field that is kept, or being read."""

    count: int
    """Pictures in the index when it was begun."""
    counted: Future[Counted] = field(default_factory=Future)
    begun: float = field(default_factory=time.monotonic)


class Values:
    """Counts of an index's fields, read from the engine when first asked for and kept; read once for all who ask."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._read: dict[str, _Reading] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> Counted:
        """The values of a field; may take seconds on a large index."""
        count = self._index.count()
        with self._lock:
            known = self._read.get(name)
            mine = known is None or known.count != count or time.monotonic() - known.begun > FRESH
            if mine:
                self._read[name] = known = _Reading(count)
        assert known is not None
        if mine:
            self._fill(name, known)
        return known.counted.result()

    def _fill(self, name: str, reading: _Reading) -> None:
        try:
            reading.counted.set_result(Counted(counted(map(_single, self._index.values(name)))))
        except BaseException as error:
            with self._lock:
                if self._read.get(name) is reading:
                    del self._read[name]
            reading.counted.set_exception(error)


def _place(one: tuple[str, Value]) -> tuple[Any, ...]:
    text, value = one
    return (value is None, text, value) if isinstance(value, str) else (value is None, value)


def _single(batch: Iterable[Held]) -> Iterator[Value]:
    """Each value by itself; of a list, each of its texts once."""
    for value in batch:
        if isinstance(value, list):
            yield from set(value)
        else:
            yield value


def counted(batches: Iterable[Iterable[Value]]) -> Counter[Value]:
    """How often each value occurs, of at most `MOST_VALUES` different ones."""
    counts: Counter[Value] = Counter()
    for batch in batches:
        counts.update(batch if len(counts) < MOST_VALUES else _known(batch, counts))
    return Counter(dict(counts.most_common(MOST_VALUES))) if len(counts) > MOST_VALUES else counts


def _known(batch: Iterable[Value], counts: Counter[Value]) -> Iterator[Value]:
    return (value for value in batch if value in counts)


def folded(text: str) -> str:
    """Without case and accents, and with what joins words as a space: what a person types is found by it."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return bare.casefold().replace("-", " ").replace("_", " ")
