"""What a field of the metadata can be, with counts: what a filter offers to somebody who types."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from bier.data.fields import Scalar, shown
from bier.data.fields import Value as Held
from bier.search import Index
from bier.serve.kept import Kept

MOST_VALUES = 100_000
"""Different values of a field that are told apart, those read first; a field with more is no filter."""
FIELDS = 100
"""Fields that are kept, the last ones asked for."""
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


class Values:
    """Counts of an index's fields, read from the engine when first asked for and kept; read once for all who ask."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._fields: Kept[Counted] = Kept(FIELDS)

    def of(self, name: str) -> Counted:
        """The values of a field; may take seconds on a large index."""
        return self._fields.get(name, self._index.count(), lambda: self._count(name))

    def _count(self, name: str) -> Counted:
        return Counted(counted(map(_single, self._index.values(name))))


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
