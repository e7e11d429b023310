"""The hardest negatives of each query, collected from the tiles of a sweep.

For metrics at R only negatives among the first R hits matter. Each query has a bar, which rises as harder negatives are
found: the score of its R-th hardest so far, less twice the error of the screen. What stays below cannot matter.

Proof. Let e bound the error of a screen's score, and let c be the R-th largest score that the screen gives to
a negative. Kept is what the screen scores at c - 2e or more. A positive whose exact score p exceeds c - e meets all
negatives that score p or more among the kept, as the screen gives them p - e or more. A positive with p <= c - e is
beaten by at least R negatives, so that its rank is above R, which is all that is asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bier.evaluate.engine.growing import Growing
from bier.evaluate.engine.positives import Positives
from bier.evaluate.engine.screen import Screened
from bier.evaluate.engine.table import Scores
from bier.evaluate.engine.tiles import Keys, Tiles
from bier.evaluate.metrics import Indices
from bier.system.processes import Processes

_SAMPLE = 1024
"""Columns from which a query's bar starts."""

_ENTRIES = 1 << 19
"""Entries that there is room for at first; the bars are raised when it is used up."""


class Hardest:
    """Of one sweep. Bars start from a sample of the gallery, and from each query's worst positive."""

    def __init__(self, pair: Screened, positives: Positives, tiles: Tiles) -> None:
        self.pair, self.positives, self.tiles = pair, positives, tiles
        self.need = positives.counts
        self.most = 4 * self.need + 256
        self.error, screen = pair.errors, pair.screen
        assert positives.scores is not None
        last = np.maximum(np.cumsum(self.need) - 1, 0)
        worst = positives.scores[:, last] / screen.factors[:, None] if len(last) else positives.best
        # `factors` are float64: worst keeps the float32 score exactly.
        self.bar: NDArray[np.float64] = np.where(self.need > 0, worst - self.error, np.inf)
        self._sample()
        self.undecided = np.zeros(self.bar.shape, dtype=bool)
        self.low: list[Keys] = []
        for v in range(len(self.bar)):
            self.low.append(None)
            self._set_bar(v)
        self.entries = [Growing(np.int32, np.int32, np.float32, room=_ENTRIES) for _ in screen.views]
        """Position of a query, of a gallery row, and their score, for each view."""

    def _sample(self) -> None:
        for top in range(0, len(self.need), _SAMPLE):
            rows = slice(top, min(top + _SAMPLE, len(self.need)))
            left = top if self.pair.itself else 0
            columns = slice(left, min(left + _SAMPLE, len(self.pair.gallery)))
            width = columns.stop - columns.start
            count = int(min(self.need[rows].max(), width))
            if not count:
                continue
            nth = np.minimum(self.need[rows], width) - 1
            for v, products in self.pair.products(rows, columns):
                largest = self.tiles.largest(products, count)[np.arange(rows.stop - top), np.maximum(nth, 0)]
                bar = np.where(self.need[rows] <= width, largest - 2 * self.error[v, rows], -np.inf)
                self.bar[v, rows] = np.maximum(self.bar[v, rows], bar)

    def _set_bar(self, v: int) -> None:
        fails = ~self.pair.screen.has_key(self.bar[v])
        self.undecided[v] |= fails
        self.bar[v, self.undecided[v]] = np.inf
        self.low[v] = self.tiles.bound(self.bar[v], self.pair.screen.dtype)

    def see(self, v: int, keys: Keys, queries: slice, gallery: slice, axis: int) -> None:
        """A tile whose axis 1 (rows) or 0 (columns) are these queries."""
        mask = self.tiles.at_least(keys, self.low[v][queries], axis)
        counts = self.tiles.count(mask, axis)
        flood = np.flatnonzero(counts > _SAMPLE // 2 + self.most[queries])
        if len(flood):
            self.undecided[v, queries.start + flood] = True
            self._set_bar(v)
            mask = self.tiles.at_least(keys, self.low[v][queries], axis)
            counts = self.tiles.count(mask, axis)
        if not counts.any():
            return
        rows, columns = self.tiles.positions(mask)
        mine, others = (rows, columns) if axis else (columns, rows)
        entries = self.entries[v]
        if not entries.fits(len(rows)):
            self._raise_bar(v)
            entries.reserve(len(rows))
        entries.add(queries.start + mine, gallery.start + others, self.tiles.scores(keys, rows, columns))

    def _raise_bar(self, v: int) -> None:
        """Drop what cannot matter any more; the rest is sorted by query."""
        query, _, score = self.entries[v].arrays()
        self.entries[v].keep(np.argsort(_key(query, -score)))  # what the views show is in order now
        counts = np.bincount(query, minlength=len(self.need))
        first = np.cumsum(counts) - counts
        full = (counts >= self.need) & (self.need > 0)
        nth = score[(first + self.need - 1)[full]]
        self.bar[v, full] = np.maximum(self.bar[v, full], nth - 2 * self.error[v, full])
        kept = score >= self.bar[v, query]
        too_many = np.bincount(query[kept], minlength=len(self.need)) > self.most
        self.undecided[v] |= too_many
        kept &= ~self.undecided[v, query]
        self.entries[v].keep(np.flatnonzero(kept))
        self._set_bar(v)

    def finish(self, processes: Processes) -> tuple[list[Indices], NDArray[np.bool_]]:
        """(sum R,) ranks of all positives for each view, right up to R; and (V, q) whether the screen cannot decide."""
        self.undecided = processes.sum(self.undecided.astype(np.int64)) > 0
        ranks = []
        for v, entries in enumerate(self.entries):
            gathered = [processes.gather(column) for column in entries.arrays()]
            if processes.world > 1:
                entries.clear()
                entries.reserve(len(gathered[0]))
                entries.add(*gathered)
            self._raise_bar(v)
            ranks.append(self._ranks(v, *entries.arrays()))
        return ranks, self.undecided

    def _ranks(self, v: int, query: Indices, gallery: Indices, score: Scores) -> Indices:
        assert self.positives.scores is not None
        factor, owner = self.pair.screen.factors[v], self.positives.owner
        error = self.error[v, query] * factor
        middle = score.astype(np.float64) * factor
        ascending = _key(owner, self.positives.scores[v])
        ascending.sort()
        # A positive within the error of a negative: only their exact scores tell which comes first.
        near = np.searchsorted(ascending, _key(query, middle + error), side="right")
        near -= np.searchsorted(ascending, _key(query, middle - error))
        exact = np.flatnonzero(near)
        score = middle.astype(np.float32)
        score[exact] = self.pair.exact(v, query[exact], gallery[exact])
        negatives = np.sort(_key(query, score))
        ends = np.searchsorted(query, owner, side="right")  # sorted by query
        above = ends - np.searchsorted(negatives, _key(owner, self.positives.scores[v]))
        nth = np.arange(1, len(owner) + 1) - (np.cumsum(self.need) - self.need)[owner]
        result: Indices = nth + above
        return result


def _key(query: Indices, score: NDArray[np.floating]) -> NDArray[np.uint64]:
    """One number that sorts by query and then by score, rounded to float32."""
    bits = (np.ascontiguousarray(score, dtype=np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (query.astype(np.uint64) << np.uint64(32)) | ordered
