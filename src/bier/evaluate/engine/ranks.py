"""Exact ranks of positives: by the fastest way that can tell, query by query."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bier.evaluate.engine.exact import Relevance, rank_exactly
from bier.evaluate.engine.positives import Positives, count_positives, find_positives
from bier.evaluate.engine.ranking import Ranking, Wanted
from bier.evaluate.engine.screen import Screen, Screened, multiplies_bfloat16
from bier.evaluate.engine.sweep import PATIENCE, sweep
from bier.evaluate.engine.table import Indices, Side, Table, View, sides
from bier.system.processes import Processes

MOST_POSITIVES = 128
"""Of a query with more of them, metrics at R are computed in float64: so many hardest negatives are not collected."""

_WORTH_IT = 1500
"""Gallery rows for each positive, from which on bfloat16 saves more than it costs to score hard negatives again."""

_NEAR = 5e-6
"""Share of scores too near their threshold, for each dimension of a view, below which bfloat16 saves time: a score in
float64 costs as much as some 80,000 multiplications in a matrix product, and bfloat16 saves most of the others."""

_AT_ONCE = 256
"""Queries that a process ranks exactly before the next one's turn."""


def rank(
    query: Table,
    gallery: Table | None,
    views: Sequence[View],
    wanted: Wanted,
    *,
    relevance: Relevance | None = None,
    processes: Processes | None = None,
    ladder: Sequence[torch.dtype] | None = None,
) -> list[Ranking]:
    """Rank the positives of every query, for each view.

    Memory is linear in the number of rows. The result is the same for any ladder and any number of processes.

    Args:
        query: the queries.
        gallery: what is searched; none searches the queries themselves.
        views: the embeddings to rank by; the last holds all learners.
        wanted: what to find out beside the first hit.
        relevance: which rows are right, instead of those of the same class.
        processes: share the work; each gets the whole result.
        ladder: precisions of the screens to try, one after the other; by default those that suit each view.
    """
    search = _Search(query, gallery, list(views), wanted, processes or Processes())
    if relevance is not None or wanted.all_ranks:
        search.rank_exactly(range(len(views)), np.arange(len(query)), relevance)
    else:
        search.rank_by_screens(ladder)
    return search.found


class _Search:
    """The state of one call of `rank`: what is found fills up, screen by screen."""

    def __init__(
        self, query: Table, gallery: Table | None, views: list[View], wanted: Wanted, processes: Processes
    ) -> None:
        self.query, self.gallery = query, query if gallery is None else gallery
        self.itself = gallery is None
        self.views, self.wanted, self.processes = views, wanted, processes
        self.sizes = [part.shape[1] for part in query.parts]
        self.found = [Ranking.empty(len(query), wanted) for _ in views]

    def rank_by_screens(self, ladder: Sequence[torch.dtype] | None) -> None:
        mine, others = sides(self.query, None if self.itself else self.gallery)
        counts = count_positives(mine, others)
        nothing = np.flatnonzero(counts == 0)
        for ranking in self.found:
            ranking.put(mine.rows[nothing], Ranking.of_nothing(len(nothing), self.wanted))
        too_many = (counts > MOST_POSITIVES) & self.wanted.at_r
        positives = find_positives(
            mine,
            others,
            self.views,
            np.where(too_many, 0, counts),
            self.processes,
            all_scores=self.wanted.at_r,
        )
        every = range(len(self.views))
        plan = self._plan(mine, others, positives) if ladder is None else {tuple(ladder): every}
        for dtypes, views in plan.items():
            open_ = positives.counts > 0
            for dtype in dtypes:
                if open_.any():
                    open_ &= ~self._try(mine, others, self._screen(dtype, views), positives, views, open_)
            self.rank_exactly(views, mine.rows[open_ | too_many], None)

    def _screen(self, dtype: torch.dtype, views: Sequence[int]) -> Screen:
        return Screen(dtype, [self.views[v] for v in views], self.sizes, self.views[-1].weights)

    def _plan(self, query: Side, gallery: Side, positives: Positives) -> dict[tuple[torch.dtype, ...], list[int]]:
        """Which views to screen in which precisions: those that would leave too much undecided are left out.

        It changes the speed, never a rank.
        """
        some, every = np.flatnonzero(positives.counts > 0), range(len(self.views))
        if not len(some):
            return {(): list(every)}
        dtypes = [torch.float32]
        enough = not self.wanted.at_r or len(gallery) > _WORTH_IT * positives.counts[some].mean()
        if enough and self.processes.agree(multiplies_bfloat16(self.query.device)):
            dtypes.insert(0, torch.bfloat16)
        some = some[:: max(1, len(some) // 128)]
        others = gallery.take(np.arange(0, len(gallery), max(1, len(gallery) // 1024)))
        ladders: list[tuple[torch.dtype, ...]] = [() for _ in every]
        for dtype in dtypes:
            shares = _near(query.take(some), others, self._screen(dtype, every), positives.best[:, some])
            for v, share in enumerate(shares):
                most = PATIENCE[dtype] / 2
                if dtype == torch.bfloat16:
                    most = min(most, _NEAR * sum(self.sizes[m] for m in self.views[v].learners))
                if self.processes.agree(share < most):
                    ladders[v] += (dtype,)
        return {ladder: [v for v in every if ladders[v] == ladder] for ladder in dict.fromkeys(ladders)}

    def _try(
        self,
        query: Side,
        gallery: Side,
        screen: Screen,
        positives: Positives,
        views: Sequence[int],
        open_: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """(q,): which queries this screen has decided, in all these views."""
        positives, positions = positives.of_views(views), np.arange(len(query))
        # All of them search each other at half the cost, unless only a few are left.
        if not self.itself or 2 * open_.sum() < len(query):
            positions = np.flatnonzero(open_)
            query, positives = query.take(positions), positives.take(positions)
        swept = sweep(query, gallery, screen, positives, self.processes, at_r=self.wanted.at_r)
        decided = ~swept.undecided.any(0) & (positives.counts > 0)
        for place, v in enumerate(views):
            ranking = Ranking.of_first(positives.counts, swept.above[place])
            if swept.ranks is not None:
                at_r = Ranking.of_ranks(positives.counts, swept.ranks[place], positives.owner, self.wanted)
                ranking = dataclasses.replace(at_r, first_hit=ranking.first_hit)
            self.found[v].put(query.rows[decided], ranking.take(decided))
        result = np.zeros(len(open_), dtype=bool)
        result[positions[decided]] = True
        return result

    def rank_exactly(self, views: Sequence[int], queries: Indices, relevance: Relevance | None) -> None:
        """Those that are left, in float64."""
        chosen = [self.views[v] for v in views]
        pieces = [queries[start : start + _AT_ONCE] for start in range(0, len(queries), _AT_ONCE)]
        for piece in self.processes.share(pieces):
            ranked = rank_exactly(self.query, self.gallery, chosen, piece, self.wanted, relevance)
            for rows, place, ranking in ranked:
                self.found[views[place]].put(rows, ranking)
        if len(queries):
            for v in views:
                for column in self.found[v].columns():
                    column[queries] = self.processes.sum(column[queries])


def _near(query: Side, gallery: Side, screen: Screen, best: NDArray[np.float32]) -> list[float]:
    """The share of scores too near the best positive, for each view."""
    pair = Screened(screen, query, gallery)
    middle = best / screen.factors[:, None]
    shares = []
    for v, products in pair.products(slice(0, len(query)), slice(0, len(gallery))):
        away = (products.float() - torch.from_numpy(middle[v]).to(products.device)[:, None]).abs()
        near = away <= torch.from_numpy(pair.errors[v]).to(products.device)[:, None]
        shares.append(float(near.double().mean()))
    return shares
