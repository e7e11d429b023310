"""The exact scores of every query's positives, from the blocks beside the diagonal where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bier.evaluate.engine.table import Indices, Scores, Side, View
from bier.system.processes import Processes

_SCORES = 1 << 20
"""Scores held at once."""

_ROWS = 128
"""Queries at once: few, since every one more widens the block."""


@dataclass(frozen=True, eq=False)
class Positives:
    """Of the queries of a `Side`, in its order."""

    counts: Indices
    """(q,): R."""
    best: Scores
    """(V, q) score of the best positive; infinity where there is none."""
    scores: Scores | None
    """(V, sum R) of all of them, those of a query one after the other and descending."""

    @property
    def owner(self) -> Indices:
        """(sum R,) position of each one's query."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def of_views(self, views: Sequence[int]) -> Positives:
        """Those of some views."""
        scores = None if self.scores is None else self.scores[list(views)]
        return Positives(self.counts, self.best[list(views)], scores)

    def take(self, positions: Indices) -> Positives:
        """Those of some queries."""
        if self.scores is None:
            return Positives(self.counts[positions], self.best[:, positions], None)
        first = np.cumsum(self.counts) - self.counts
        counts = self.counts[positions]
        own = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = np.repeat(first[positions], counts) + own
        return Positives(counts, self.best[:, positions], self.scores[:, chosen])


def count_positives(query: Side, gallery: Side) -> Indices:
    """(q,): R of each query."""
    low, high = _range(query, gallery)
    # Rows of the query's own identity do not count; they are of its class.
    itself = np.sort(gallery.table.ids[gallery.rows])
    mine = query.table.ids[query.rows]
    own = np.searchsorted(itself, mine, side="right") - np.searchsorted(itself, mine)
    result: Indices = high - low - own
    return result


def find_positives(
    query: Side, gallery: Side, views: Sequence[View], counts: Indices, processes: Processes, *, all_scores: bool
) -> Positives:
    """Score every query with the gallery rows of its class.

    Args:
        query: the queries.
        gallery: what they search.
        views: the embeddings.
        counts: (q,) R, as `count_positives` gave them; set to 0 where nothing is wanted.
        processes: that share the work.
        all_scores: keep all scores, not the best alone.
    """
    best = np.zeros((len(views), len(query)), dtype=np.float32)
    first = np.cumsum(counts) - counts
    scores = np.zeros((len(views), int(counts.sum())), dtype=np.float32) if all_scores else None
    low, high = _range(query, gallery)
    for rows in processes.share(_spans(low, high)):
        columns = slice(low[rows.start], high[rows.stop - 1])
        if not counts[rows].any():
            continue
        right = _right(query, gallery, rows, columns)
        products = _products(query, gallery, rows, columns)
        for v, view in enumerate(views):
            block = view.score(products, query.table.norms is not None)
            count = int(counts[rows].max()) if all_scores else 1
            ordered = block.masked_fill_(~right, -torch.inf).topk(count, dim=1).values.cpu().numpy()
            best[v, rows] = ordered[:, 0]
            if scores is not None:
                kept = np.arange(count) < counts[rows, None]
                scores[v, first[rows.start] : first[rows.start] + int(kept.sum())] = ordered[kept]
    best[:, counts == 0] = 0  # not minus infinity, of which several processes' sum would be NaN
    best = processes.sum(best)
    best[:, counts == 0] = np.inf
    return Positives(counts, best, None if scores is None else processes.sum(scores))


def _range(query: Side, gallery: Side) -> tuple[Indices, Indices]:
    """(q,) first gallery row of each query's class, and one beyond its last."""
    return np.searchsorted(gallery.turn, query.turn), np.searchsorted(gallery.turn, query.turn, side="right")


def _spans(low: Indices, high: Indices) -> Iterator[slice]:
    """Cut the queries so that no block is too large."""
    pending = [slice(start, min(start + _ROWS, len(low))) for start in reversed(range(0, len(low), _ROWS))]
    while pending:
        rows = pending.pop()
        height, width = rows.stop - rows.start, high[rows.stop - 1] - low[rows.start]
        if height > 1 and height * width > _SCORES:
            middle = (rows.start + rows.stop) // 2
            pending += [slice(middle, rows.stop), slice(rows.start, middle)]
        else:
            yield rows


def _products(query: Side, gallery: Side, rows: slice, columns: slice) -> list[torch.Tensor]:
    if query is not gallery:
        return query.table.products(query.rows[rows], gallery.table, gallery.rows[columns])
    # The queries stand among their own columns: convert them once.
    parts = query.table.rows(query.rows[columns])
    mine = slice(rows.start - columns.start, rows.stop - columns.start)
    return [part[mine] @ part.T for part in parts]


def _right(query: Side, gallery: Side, rows: slice, columns: slice) -> torch.Tensor:
    """(rows, columns): of the query's class and not itself."""
    same: NDArray[np.bool_] = query.turn[rows, None] == gallery.turn[columns]
    same &= query.table.ids[query.rows[rows], None] != gallery.table.ids[gallery.rows[columns]]
    return torch.from_numpy(same).to(query.table.device)
