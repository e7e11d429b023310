"""What a re-ranking brings: the first hits of each query in their new order, measured as the others are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bier.errors import ConfigError
from bier.evaluate.engine.exact import SCORES, Relevance, exact_scores, of_same_class, rank_scores
from bier.evaluate.engine.inputs import Labels, as_list, equal_across_classes, prepare
from bier.evaluate.engine.ranking import Ranking
from bier.evaluate.engine.table import Indices, Table, views
from bier.evaluate.learners import Weights, weight_shares
from bier.evaluate.retrieval import Options, RetrievalResult, summary
from bier.method.reranking import Reranking

BEHIND = 10.0
"""Taken from the scores of hits that are not ranked again: more than those of the others can differ."""


def evaluate_reranked(
    learners: Sequence[Tensor],
    labels: Labels,
    gallery: Sequence[Tensor] | None,
    gallery_labels: Labels | None,
    alpha: Weights,
    reranking: Reranking,
    options: Options,
    ids: Labels | None = None,
    gallery_ids: Labels | None = None,
    relevance: Relevance | None = None,
) -> RetrievalResult:
    """Search with the whole ensemble, and put the first hits of each query in their new order.

    A query knows its own hits and no other query, as in a search.

    Args:
        learners: M outputs (n, d_m) of the queries, as `evaluate_learners` gets them; so the next four.
        labels: (n,).
        gallery: M outputs (g, d_m), or none.
        gallery_labels: (g,).
        alpha: (M,).
        reranking: of `bier.method.reranking`.
        options: cosines only; NMI and AMI know no order and are left out.
        ids: (n,) names of the images, as for `evaluate_retrieval`.
        gallery_ids: (g,) likewise.
        relevance: which rows are right, as for `evaluate_retrieval`.

    Raises:
        ConfigError: there are fewer pictures to search among than the re-ranking takes neighbours; or dot products.
        DataError: as `evaluate_retrieval`.
    """
    if options.similarity != "cosine":
        raise ConfigError("re-ranking is by cosine", where="similarity", remedy="leave it out")
    query, others = prepare(learners, labels, gallery, gallery_labels, "cosine", ids, gallery_ids)
    searched = query if others is None else others
    reranking.check_pool(len(searched) - (others is None))
    relevance = relevance or of_same_class(query, searched)
    ranking = Ranking.empty(len(query), options.wanted)
    for rows, scores, there in _searches(query, searched, weight_shares(alpha), reranking):
        right = torch.from_numpy(relevance(rows, np.arange(len(searched)))).to(query.device)
        ranking.put(rows, rank_scores(scores, right & there, there & ~right, options.wanted))
    equal = equal_across_classes(query, others)
    return summary(ranking, len(searched), options, {}, equal, as_list(labels))


def _searches(
    query: Table, gallery: Table, shares: tuple[float, ...], reranking: Reranking
) -> Iterator[tuple[Indices, Tensor, Tensor]]:
    """Some queries, their scores (q, g) after re-ranking, and which rows they search."""
    [whole] = views(shares)[-1:]
    asked = query.embedding(whole).numpy()
    found = asked if gallery is query else gallery.embedding(whole).numpy()
    step = max(1, SCORES // len(gallery))
    for start in range(0, len(query), step):
        rows = np.arange(start, min(start + step, len(query)))
        [scores] = exact_scores(query, rows, gallery, [whole])
        there = torch.from_numpy(query.ids[rows, None] != gallery.ids).to(query.device)
        hits = scores.masked_fill(~there, -torch.inf).topk(min(reranking.first, len(gallery))).indices.cpu().numpy()
        scores -= BEHIND
        for row, pool in enumerate(hits):
            pool = pool[gallery.ids[pool] != query.ids[rows[row]]]
            new = torch.from_numpy(reranking.scores(asked[rows[row]], found[pool])).to(scores)
            scores[row, torch.from_numpy(pool).to(scores.device)] = new
        yield rows, scores, there
