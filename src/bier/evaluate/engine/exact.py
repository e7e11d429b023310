"""Ranks in float64, a few queries at a time: for every metric and any notion of relevance.

Slower than `bier.evaluate.engine.sweep`, which hands over the queries that it cannot decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.errors import DataError
from bier.evaluate.engine.ranking import Ranking, Wanted
from bier.evaluate.engine.table import Indices, Table, View

Relevance = Callable[[Indices, Indices], NDArray[np.bool_]]
"""(queries (a,), gallery (b,)) -> (a, b): which gallery rows are right for which queries."""

SCORES = 1 << 22
"""Scores held at once."""

COLUMNS = 4096
"""Columns of the gallery that are multiplied at once."""


def of_same_class(query: Table, gallery: Table) -> Relevance:
    """A gallery row is right if it has the query's class."""

    def relevance(queries: Indices, columns: Indices) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = query.codes[queries, None] == gallery.codes[columns]
        return same

    return relevance


def rank_exactly(
    query: Table,
    gallery: Table,
    views: Sequence[View],
    queries: Indices,
    wanted: Wanted,
    relevance: Relevance | None = None,
) -> Iterator[tuple[Indices, int, Ranking]]:
    """Rank the positives of some queries.

    Args:
        query: where the queries stand.
        gallery: what is searched; a row with the id of the query is left out.
        views: the embeddings to rank by.
        queries: (k,) which rows.
        wanted: what to find out beside the first hit.
        relevance: which rows are right; by default those of the same class.

    Yields:
        Rows of the queries, position of the view, and their ranking in this order.
    """
    relevance = relevance or of_same_class(query, gallery)
    everything = np.arange(len(gallery))
    step = max(1, SCORES // len(gallery))
    for start in range(0, len(queries), step):
        rows = queries[start : start + step]
        searched = torch.from_numpy(query.ids[rows, None] != gallery.ids).to(query.device)
        right = _checked(relevance(rows, everything), (len(rows), len(gallery))).to(query.device) & searched
        for position, scores in enumerate(exact_scores(query, rows, gallery, views)):
            yield rows, position, rank_scores(scores, right, searched & ~right, wanted)


def _checked(right: object, shape: tuple[int, int]) -> Tensor:
    array = np.asarray(right.cpu() if isinstance(right, Tensor) else right)
    if array.shape != shape or array.dtype != np.bool_:
        raise DataError(
            f"returned {array.dtype} of shape {array.shape} for {shape[0]} queries and {shape[1]} gallery rows",
            where="relevance",
            remedy="return booleans of shape (queries, gallery rows)",
        )
    return torch.from_numpy(np.ascontiguousarray(array))


def exact_scores(query: Table, rows: Indices, gallery: Table, views: Sequence[View]) -> list[Tensor]:
    """(len(rows), g) exact scores for each view."""
    found: list[list[Tensor]] = [[] for _ in views]
    for start in range(0, len(gallery), COLUMNS):
        products = query.products(rows, gallery, slice(start, start + COLUMNS))
        for view, tiles in zip(views, found, strict=True):
            tiles.append(view.score(products, query.norms is not None))
    return [torch.cat(tiles, dim=1) for tiles in found]


def rank_scores(scores: Tensor, right: Tensor, wrong: Tensor, wanted: Wanted) -> Ranking:
    """The ranking of queries by their scores (q, g); what is neither right nor wrong is not searched."""
    positives = right.sum(1)
    most = int(positives.max())
    if not most:
        return Ranking.of_nothing(len(scores), wanted)
    best = scores.masked_fill(~right, -torch.inf).topk(most if wanted.beyond_first else 1).values
    negatives = scores.masked_fill(~wrong, -torch.inf)
    if not wanted.beyond_first:
        above = (negatives >= best).sum(1)
        return Ranking.of_first(positives.cpu().numpy(), above.cpu().numpy())
    ascending = _sorted(negatives)
    above = ascending.shape[1] - torch.searchsorted(ascending, best.contiguous())
    kept = torch.arange(most, device=scores.device) < positives[:, None]
    ranks = above + torch.arange(1, most + 1, device=scores.device)
    owner = kept.nonzero()[:, 0]
    return Ranking.of_ranks(positives.cpu().numpy(), ranks[kept].cpu().numpy(), owner.cpu().numpy(), wanted)


def _sorted(scores: Tensor) -> Tensor:
    """Each row ascending; on the CPU by NumPy, ten times faster."""
    if scores.device.type != "cpu":
        return scores.sort(1).values
    ordered = scores.numpy()
    ordered.sort(axis=1)
    return torch.from_numpy(ordered)
