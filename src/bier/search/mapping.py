"""A map of the pictures of an index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bier.search.base import Index, Record, Vectors, vector_mark
from bier.search.map_file import IndexMap
from bier.vectors.planar import check_count, planar, sample


def map_index(index: Index, seed: int = 0, progress: Callable[[int], object] = lambda steps: None) -> IndexMap:
    """Where the pictures lie; nothing is written (see `write_map`).

    Of more than `bier.vectors.planar.MOST` pictures so many are drawn. No more vectors are in memory at once.

    Args:
        index: is read whole.
        seed: decides which pictures are drawn.
        progress: called with the number of steps since the last call, `bier.vectors.planar.STEPS` in all.

    Raises:
        ConfigError: the package openTSNE is not installed.
        DataError: there are too few pictures, or all have the same vector.
    """
    check_count(index.count(), index.folder)
    drawn = _drawn(index, seed)
    vectors = np.stack([vector for _, vector in drawn])
    places = planar(vectors, seed, where=index.folder, progress=progress).astype(float).round(3)
    ids = [name for name, _ in drawn]
    return IndexMap(index.count(), ids, places[:, 0].tolist(), places[:, 1].tolist(), list(map(vector_mark, vectors)))


def _drawn(index: Index, seed: int) -> list[tuple[str, Vectors]]:
    """Ids and vectors, by id: no order of an engine changes the map."""
    wanted, before = sample(index.count(), seed=seed), 0
    found = []
    for rows in index.scan():
        here = wanted[(wanted >= before) & (wanted < before + len(rows))] - before
        found += [(rows.ids[row], rows.vectors[row].copy()) for row in here.tolist()]
        before += len(rows)
    return sorted(found, key=lambda one: one[0])


@dataclass(frozen=True)
class MapNow:
    """A map beside what the index holds now."""

    drawn: IndexMap
    known: list[Record | None]
    """The pictures of the map; None for those that are gone."""
    changed: int
    """Pictures that have another vector by now."""
    new: int
    """Pictures that the index has got since."""

    @property
    def gone(self) -> int:
        return sum(record is None for record in self.known)

    @property
    def stale(self) -> bool:
        return bool(self.gone or self.changed or self.new)


def map_now(index: Index, drawn: IndexMap) -> MapNow:
    """What has become of the pictures of a map; a picture of a sample that is new cannot be told from one not drawn."""
    known = index.get(drawn.ids)
    pairs = zip(drawn.marks, known, strict=True)
    changed = sum(record is not None and vector_mark(record.vector) != crc for crc, record in pairs)
    there = sum(record is not None for record in known)
    new = index.count() - there if not drawn.sampled else max(0, index.count() - drawn.pictures)
    return MapNow(drawn, known, changed, new)
