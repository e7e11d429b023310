"""All pairs of a query and a gallery row, scored exactly, tile by tile.

Figures of verification need every score and not the order alone, so no screen saves anything here: tiles are multiplied
in float64. Queries that search each other meet in one tile, which serves both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bier.evaluate.engine.counts import ScoreCounts, cells
from bier.evaluate.engine.sweep import tiles_of
from bier.evaluate.engine.table import Indices, Scores, Side, View, same_class
from bier.system.processes import Processes


@dataclass(frozen=True, eq=False)
class Tile:
    """Where a tile lies, and what its pairs are."""

    rows: slice
    columns: slice
    mirrored: bool
    """Whether its columns are queries too, and its rows what they search."""
    same: Tensor | None
    """(rows, columns): of one class; none where no pair is."""
    right: Tensor | None
    """Those of them that are not one picture."""
    once: Tensor | None
    """(rows, columns): pairs that stand nowhere else; none where all are."""


def scored_tiles(
    query: Side, gallery: Side, views: Sequence[View], processes: Processes
) -> Iterator[tuple[int, Tensor, Tile]]:
    """For every tile of this process each view's position and its exact scores (rows, columns), float32."""
    normalised = query.table.norms is not None
    before, mine = slice(0, 0), list[Tensor]()
    for rows, columns, mirrored in processes.share(tiles_of(query, gallery)):
        if rows != before:
            before, mine = rows, query.table.rows(query.rows[rows])
        others = gallery.table.rows(gallery.rows[columns])
        products = {m: mine[m] @ others[m].T for m in sorted({m for view in views for m in view.learners})}
        tile = _tile(query, gallery, rows, columns, mirrored)
        for v, view in enumerate(views):
            yield v, view.score(products, normalised), tile


def _tile(query: Side, gallery: Side, rows: slice, columns: slice, mirrored: bool) -> Tile:
    same = same_class(query, gallery, rows, columns)
    if same is None:
        return Tile(rows, columns, mirrored, None, None, None)
    other = query.table.ids[query.rows[rows], None] != gallery.table.ids[gallery.rows[columns]]
    diagonal = query is gallery and rows == columns
    once = torch.ones_like(same).triu(1) if diagonal else None
    return Tile(rows, columns, mirrored, same, same & torch.from_numpy(other).to(same.device), once)


class PairCounts:
    """How many right and wrong pairs have each score, in one view; a pair of two queries counts once."""

    def __init__(self) -> None:
        self.right, self.wrong = ScoreCounts(), ScoreCounts()

    def see(self, scores: Tensor, tile: Tile) -> None:
        found = cells(scores)
        if tile.same is None or tile.right is None:
            self.wrong.add(found)
            return
        right, wrong = tile.right, ~tile.same
        if tile.once is not None:
            right, wrong = right & tile.once, wrong & tile.once
        self.right.add(found[right])
        self.wrong.add(found[wrong])


class BestByPart:
    """Each query's best right hit, and its best wrong one in each part of the gallery, in one view.

    Args:
        queries: how many.
        starts: (parts + 1,) positions in the gallery where each part begins, and the end.
    """

    def __init__(self, queries: int, starts: Indices) -> None:
        self.starts = starts
        self.right: Scores = np.full(queries, -np.inf, np.float32)
        """(q,) minus infinity without a right one."""
        self.wrong: Scores = np.full((queries, len(starts) - 1), -np.inf, np.float32)
        """(q, parts) likewise."""

    def see(self, scores: Tensor, tile: Tile) -> None:
        self._see(scores, tile.same, tile.right, tile.rows, tile.columns)
        if tile.mirrored:
            same, right = (None if mask is None else mask.T for mask in (tile.same, tile.right))
            self._see(scores.T, same, right, tile.columns, tile.rows)

    def _see(self, scores: Tensor, same: Tensor | None, right: Tensor | None, queries: slice, gallery: slice) -> None:
        if same is not None and right is not None:
            self._raise(self.right[queries], scores.masked_fill(~right, -torch.inf))
            scores = scores.masked_fill(same, -torch.inf)
        inner = self.starts[(self.starts > gallery.start) & (self.starts < gallery.stop)]
        edges = [gallery.start, *inner.tolist(), gallery.stop]
        for first, last in pairwise(edges):
            part = int(np.searchsorted(self.starts, first, side="right")) - 1
            here = scores[:, first - gallery.start : last - gallery.start]
            self._raise(self.wrong[queries, part], here)

    @staticmethod
    def _raise(best: Scores, scores: Tensor) -> None:
        np.maximum(best, scores.amax(1).cpu().numpy(), out=best)

    def finish(self, processes: Processes) -> None:
        """Put together what all processes found."""
        self.right = processes.gather(self.right[None]).max(0)
        self.wrong = processes.gather(self.wrong[None]).max(0)
