"""Ranks of positives by counting, in one pass over tiles of the score matrix.

Nothing is sorted. The first hit of a query has rank 1 + (negatives that score at least as much as its best positive),
so the pass compares and counts; metrics at R need the R hardest negatives besides, which `bier.evaluate.engine.hardest`
collects from the same tiles. Rows are put in the order of their classes: all that a query must not count stands beside
the diagonal. When queries search themselves one tile serves its rows and its columns, and half of the products are
enough.

Scores are those of a `Screen`. What lies too near a threshold is scored exactly, and a query with too much of that is
handed over to the next screen, in the end to `bier.evaluate.engine.exact`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bier.evaluate.engine.growing import Growing
from bier.evaluate.engine.hardest import Hardest
from bier.evaluate.engine.positives import Positives
from bier.evaluate.engine.screen import Screen, Screened, full_float32
from bier.evaluate.engine.table import Indices, Side
from bier.evaluate.engine.tiles import Keys, Tiles, tiles_for
from bier.system.processes import Processes

TILE = 1024
"""Rows and columns of a tile on the CPU; on a GPU eight times as many."""

_WAITING = 1 << 15
"""Pairs that may wait to be scored exactly."""

PATIENCE = {torch.bfloat16: 1 / 128, torch.float32: 1 / 32}
"""Share of the gallery that is scored exactly for a query, before another way is cheaper."""


@dataclass(frozen=True, eq=False)
class Swept:
    """What a sweep found, for each view and query."""

    above: Indices
    """(V, q) negatives that score at least as much as the best positive."""
    undecided: NDArray[np.bool_]
    """(V, q) where the screen could not tell."""
    ranks: list[Indices] | None
    """For each view (sum R,) ranks of all positives, right up to R; none if they were not asked for."""


def sweep(
    query: Side, gallery: Side, screen: Screen, positives: Positives, processes: Processes, *, at_r: bool
) -> Swept:
    """Count what stands above each query's best positive, and rank the others up to R if wanted.

    Args:
        query: queries; the same object as ``gallery`` if they search each other.
        gallery: what is searched.
        screen: the arithmetic.
        positives: of these queries.
        processes: that share the tiles.
        at_r: rank all positives up to R.
    """
    with full_float32():
        pair, tiles = Screened(screen, query, gallery), tiles_for(gallery.table.device)
        first = FirstHits(pair, positives, tiles)
        watchers: list[FirstHits | Hardest] = [first]
        hardest = Hardest(pair, positives, tiles) if at_r else None
        if hardest is not None:
            watchers.append(hardest)
        for rows, columns, mirrored in processes.share(tiles_of(query, gallery)):
            for v, products in pair.products(rows, columns):
                keys = tiles.keys(products)
                for watcher in watchers:
                    watcher.see(v, keys, rows, columns, 1)
                    if mirrored:
                        watcher.see(v, keys, columns, rows, 0)
        above, undecided = first.finish(processes)
        if hardest is None:
            return Swept(above, undecided, None)
        ranks, more = hardest.finish(processes)
        return Swept(above, undecided | more, ranks)


def tiles_of(query: Side, gallery: Side) -> Iterator[tuple[slice, slice, bool]]:
    """Rows, columns, and whether the columns are queries too that no other tile serves."""
    itself = query is gallery
    size = TILE if query.table.device.type == "cpu" else 8 * TILE
    for top in range(0, len(query), size):
        rows = slice(top, min(top + size, len(query)))
        for left in range(top if itself else 0, len(gallery), size):
            yield rows, slice(left, min(left + size, len(gallery))), itself and left > top


class FirstHits:
    """Counts negatives above the best positive of each query."""

    def __init__(self, pair: Screened, positives: Positives, tiles: Tiles) -> None:
        self.pair, self.tiles, self.best = pair, tiles, positives.best  # (V, q) float32
        screen = pair.screen
        middle = self.best.astype(np.float64) / screen.factors[:, None]
        self.undecided = ~screen.has_key(middle - pair.margins)
        low = np.where(self.undecided, np.inf, middle - pair.margins)
        self.low = [tiles.bound(row, screen.dtype) for row in low]
        self.high = [tiles.bound(row, screen.dtype) for row in np.where(self.undecided, np.inf, middle + pair.margins)]
        self.never = tiles.bound(np.array([np.inf]), screen.dtype)[0]
        self.above = np.zeros(self.best.shape, dtype=np.int64)
        self.near = np.zeros(self.best.shape, dtype=np.int64)
        self.most = 64 + int(PATIENCE[screen.dtype] * len(pair.gallery))
        self.waiting = [Growing(np.int32, np.int32, room=_WAITING) for _ in screen.views]

    def see(self, v: int, keys: Keys, queries: slice, gallery: slice, axis: int) -> None:
        """A tile whose axis 1 (rows) or 0 (columns) are these queries."""
        low = self.low[v][queries]
        counts = self.tiles.count(self.tiles.at_least(keys, low, axis), axis)
        self.above[v, queries] += counts
        hit = np.flatnonzero(counts)
        high = self.high[v][queries]
        if 2 * len(hit) > len(counts):  # is any of the hits of a query too near?
            below = self.tiles.count(self.tiles.at_most(keys, high, axis), axis)
            hit = np.flatnonzero(counts + below > keys.shape[axis])
        if not len(hit):
            return
        if 2 * len(hit) > len(counts):
            hit = np.arange(len(counts))
        else:
            keys, low, high = self.tiles.take(keys, hit, axis), low[hit], high[hit]
        rows, columns = self.tiles.positions(self.tiles.between(keys, low, high, axis))
        if len(rows):
            mine, others = (rows, columns) if axis else (columns, rows)
            self._wait(v, queries.start + hit[mine], gallery.start + others)

    def _wait(self, v: int, queries: Indices, gallery: Indices) -> None:
        np.add.at(self.near[v], queries, 1)
        self.undecided[v, queries] |= self.near[v, queries] > self.most
        kept = ~self.undecided[v, queries]
        self.low[v][queries[~kept]] = self.never
        queries, gallery = queries[kept], gallery[kept]
        if not self.waiting[v].fits(len(queries)):
            self._resolve(v)
            self.waiting[v].reserve(len(queries))
        self.waiting[v].add(queries, gallery)

    def _resolve(self, v: int) -> None:
        """Score exactly what is near, and take off what turns out to be below."""
        queries, gallery = self.waiting[v].arrays()
        scores = self.pair.exact(v, queries, gallery)
        np.subtract.at(self.above[v], queries, (scores < self.best[v, queries]).astype(np.int64))
        self.waiting[v].clear()

    def finish(self, processes: Processes) -> tuple[Indices, NDArray[np.bool_]]:
        for v in range(len(self.best)):
            self._resolve(v)
        return processes.sum(self.above), processes.sum(self.undecided.astype(np.int64)) > 0
