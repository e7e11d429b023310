"""Pictures that are copies of one another: vectors say which may be, and pixels decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from bier.data.overlap import COPY, Sketch, overlap, sketch
from bier.errors import ImageError
from bier.vectors.near import Pairs, VectorFile, groups, nearest_pairs

CANDIDATES = 4
"""Nearest pictures of each that are looked at."""
_SKETCHES = 4096


@dataclass(frozen=True)
class Copy:
    """A picture that may go, because another shows the same."""

    keep: int
    """The row of the picture to keep: it has the most pixels of its group, and is the first of those."""
    other: int
    similarity: float
    """How near ``other`` is to the nearest picture of its group: the cosine of vectors, or the overlap of pixels."""


Picture = Callable[[int], Tensor]
"""From a row to its pixels uint8 (3, H, W); raises `ImageError` if they cannot be read."""


def seen_copies(
    vectors: VectorFile,
    picture: Picture,
    least: float,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Pairs:
    """Pairs of pictures of which one shows the other, or a part of it; the similarity is the overlap of pixels.

    Args:
        vectors: of the pictures.
        picture: reads each; those that cannot be read are no copies.
        least: cosine from which two pictures are compared.
        progress: called with pairs that were compared, and how many there are.
    """
    pairs = nearest_pairs(vectors, least, CANDIDATES)
    pairs = pairs.take(np.lexsort((pairs.other, pairs.one)))

    @lru_cache(_SKETCHES)
    def drawn(row: int) -> Sketch | None:
        try:
            return sketch(picture(row))
        except ImageError:
            return None

    found = np.zeros(len(pairs), dtype=np.float32)
    for place, (one, other) in enumerate(zip(pairs.one.tolist(), pairs.other.tolist(), strict=True)):
        first, second = drawn(one), drawn(other)
        found[place] = 0 if first is None or second is None else overlap(first, second)
        progress(place + 1, len(pairs))
    return Pairs(pairs.one, pairs.other, found).take(found >= COPY)


def to_remove(pairs: Pairs, picture: Picture, count: int) -> list[Copy]:
    """Every picture of a group but the one to keep, the most similar first."""
    nearest = np.zeros(count, dtype=np.float32)
    for ends in (pairs.one, pairs.other):
        np.maximum.at(nearest, ends, pairs.similarity)
    copies = []
    for rows in groups(pairs, count):
        members = rows.tolist()
        keep = max(members, key=lambda row: (_pixels(picture, row), -row))
        copies += [Copy(keep, row, float(nearest[row])) for row in members if row != keep]
    return sorted(copies, key=lambda copy: (-copy.similarity, copy.keep, copy.other))


def _pixels(picture: Picture, row: int) -> int:
    try:
        return picture(row)[0].numel()
    except ImageError:
        return 0
