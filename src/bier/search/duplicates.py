"""Pictures of an index that are nearly the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from bier.data.box import Box
from bier.data.images import read_picture
from bier.errors import SearchError
from bier.search.base import Index
from bier.vectors.copies import seen_copies, to_remove
from bier.vectors.near import Pairs, VectorFile, forest, groups
from bier.vectors.objects import box_of

SAME = 0.98
"""Cosine from which two pictures are the same, where pixels are not looked at."""
LOOKED_AT = 0.5
"""Cosine from which two pictures are looked at."""


@dataclass(frozen=True)
class Stored:
    """A picture of the index."""

    id: str
    image: str
    label: str
    box: Box | None = None
    """The part of the picture that it is; none: all of it."""

    def read(self) -> Tensor:
        """Its pixels uint8 (3, H, W); raises `ImageError`."""
        return read_picture(self.image, self.box)


@dataclass(frozen=True)
class Duplicate:
    """A picture that may go, because another shows the same."""

    keep: Stored
    other: Stored
    similarity: float


class Duplicates:
    """Pairs of pictures that are nearly the same.

    Args:
        pictures: of the index.
        pairs: of their rows.
    """

    def __init__(self, pictures: list[Stored], pairs: Pairs) -> None:
        self._pictures, self._pairs = pictures, pairs

    def groups(self) -> list[list[str]]:
        """Ids in groups of two and more, the largest group first."""
        named = [sorted(self._pictures[row].id for row in rows) for rows in groups(self._pairs, len(self._pictures))]
        return sorted(named, key=lambda names: (-len(names), names))

    def to_remove(self) -> list[Duplicate]:
        """Every picture of a group but the largest one, the most similar first; pictures are read for it."""
        found = to_remove(self._pairs, lambda row: self._pictures[row].read(), len(self._pictures))
        return [Duplicate(self._pictures[copy.keep], self._pictures[copy.other], copy.similarity) for copy in found]


def duplicate_groups(index: Index, threshold: float = SAME) -> list[list[str]]:
    """Ids in groups of two and more, the largest group first.

    Pictures whose cosine similarity reaches the threshold are in one group, and so are those that are connected by
    others. Every pair is compared, a tile at a time, and vectors wait in a temporary file.

    Raises:
        SearchError: the threshold is not in 0..1.
    """
    return duplicates(index, threshold).groups()


def duplicates(
    index: Index,
    threshold: float | None = None,
    *,
    look: bool = False,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Duplicates:
    """Pictures that are nearly the same.

    Args:
        index: is read whole.
        threshold: cosine from which two pictures are the same, or are looked at; None for `SAME` or `LOOKED_AT`.
        look: compare the pixels of similar pictures, which finds cropped copies and passes over pictures that are
            merely alike.
        progress: called with pairs that were looked at, and how many there are.

    Raises:
        SearchError: the threshold is not in 0..1.
    """
    threshold = (LOOKED_AT if look else SAME) if threshold is None else threshold
    if not 0 < threshold <= 1:
        raise SearchError(f"threshold {threshold} is not a similarity", remedy="choose one above 0, at most 1")
    with _stored(index) as (pictures, vectors):
        if not look:
            return Duplicates(pictures, forest(vectors, threshold))
        return Duplicates(pictures, seen_copies(vectors, lambda row: pictures[row].read(), threshold, progress))


@contextmanager
def _stored(index: Index) -> Iterator[tuple[list[Stored], VectorFile]]:
    pictures = []
    with VectorFile() as vectors:
        for rows in index.scan():
            vectors.append(rows.vectors)
            for name, known in zip(rows.ids, rows.metadata, strict=True):
                box = box_of(known, index.info.kinds)
                pictures.append(Stored(name, known.get("image") or "", known.get("label") or "", box))
        yield pictures, vectors
