"""Search catalogues exactly, with some of their classes left out, and note the cues of each answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bier.confidence.cues import Values, cues, within_reach
from bier.confidence.neighbours import HITS, Neighbours
from bier.confidence.shared import SharedLabels

Flags = NDArray[np.bool_]
Vectors = NDArray[np.float32]
Codes = NDArray[np.int64]

CHUNK = 128
"""Queries at once."""
DRAWS = 4
"""Of the half of the classes that is left out."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Of queries that searched catalogues, one catalogue after another."""

    cues: Mapping[str, Values]
    """(n,) of each."""
    right: Flags
    """(n,), the first hit has the query's label."""
    known: Flags
    """(n,), there is another picture of the query's class."""
    fresh: Flags
    """(n,), the direction was learned without this query."""


@dataclass(frozen=True, eq=False)
class Search:
    """Exact search of catalogues, each a part of one gallery."""

    queries: Vectors
    ids: Codes
    itself: Codes
    fresh: Flags
    gallery: Vectors
    codes: Codes
    sizes: tuple[int, ...]
    shared: SharedLabels | None = None
    """Which codes share a label, where pictures have several."""

    def by(self, strangers: Vectors) -> Search:
        """The same gallery for queries that have no class."""
        nothing = np.full(len(strangers), -1)
        return replace(self, queries=strangers, ids=nothing, itself=nothing, fresh=nothing < 0)

    def answers(self, catalogues: Sequence[Flags], direction: Values | None) -> Answers:
        """Of all queries in each of the catalogues."""
        places = [np.flatnonzero(catalogue) for catalogue in catalogues if catalogue.any()]
        parts = [part for start in range(0, len(self.queries), CHUNK) for part in self._chunk(start, places, direction)]
        names = parts[0].cues
        return Answers(
            {name: np.concatenate([part.cues[name] for part in parts]) for name in names},
            np.concatenate([part.right for part in parts]),
            np.concatenate([part.known for part in parts]),
            np.concatenate([part.fresh for part in parts]),
        )

    def _chunk(self, start: int, places: Sequence[Codes], direction: Values | None) -> Iterator[Answers]:
        part = slice(start, start + CHUNK)
        queries, ids, itself = self.queries[part], self.ids[part], self.itself[part]
        scores = queries @ self.gallery.T
        own = np.flatnonzero(itself >= 0)
        scores[own, itself[own]] = np.nan
        for place in places:
            found, first = self._neighbours(queries, scores, place)
            there = ~np.isnan(found.scores[:, 0])
            known = counts(ids, self.codes[place], self.shared) > ((itself >= 0) & np.isin(itself, place))
            names = within_reach("all", direction is not None)
            values = cues(found.take(there), names, direction)
            right = first == ids if self.shared is None else self.shared.same(first, ids)
            yield Answers(values, right[there], known[there], self.fresh[part][there])

    def _neighbours(self, queries: Vectors, scores: Vectors, place: Codes) -> tuple[Neighbours, Codes]:
        """Of queries in a part of the gallery, and the code of the first hit's label."""
        among = scores[:, place]
        order = first_places(among, HITS)
        rows = place[order]
        found = Neighbours.of(
            np.take_along_axis(among, order, axis=1),
            self.codes[rows],
            queries=queries,
            hits=self.gallery[rows],
            sizes=self.sizes,
            shared=self.shared,
        )
        return found, self.codes[rows[:, 0]]


def first_places(scores: Vectors, count: int) -> Codes:
    """(q, count) or all, the places of the highest scores of each row, highest first, NaN last."""
    scores = -np.where(np.isnan(scores), -np.inf, scores)
    count = min(count, scores.shape[1])
    part = np.argpartition(scores, count - 1, axis=1)[:, :count]
    order = np.lexsort((part, np.take_along_axis(scores, part, axis=1)), axis=1)
    return np.take_along_axis(part, order, axis=1)


def counts(ids: Codes, codes: Codes, shared: SharedLabels | None = None) -> Codes:
    """(q,), how many pictures of each query's class there are, or share a label with it."""
    if shared is not None:
        return shared.counts(ids, codes)
    found, counts = np.unique(codes, return_counts=True)
    places = np.minimum(np.searchsorted(found, ids), len(found) - 1)
    return np.where(found[places] == ids, counts[places], 0)


def halves(
    codes: Codes,
    classes: Codes,
    random: np.random.Generator,
    shared: SharedLabels | None = None,
    draws: int = DRAWS,
) -> list[Flags]:
    """Catalogues (g,) of a gallery, each without half of some classes."""
    if shared is not None:
        return shared.halves(codes, classes, random, draws)
    return [~np.isin(codes, random.permutation(classes)[: len(classes) // 2]) for _ in range(draws)]
