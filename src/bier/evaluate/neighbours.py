"""Queries to look at: the worst, some typical ones, and the best, each with its first hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bier.evaluate.engine.exact import Relevance, exact_scores, of_same_class
from bier.evaluate.engine.inputs import Labels, prepare
from bier.evaluate.engine.table import views
from bier.evaluate.learners import Weights, weight_shares
from bier.evaluate.retrieval import RetrievalResult

Picture = Mapping[str, Any]


def neighbours(
    learners: Sequence[Tensor],
    labels: Labels,
    gallery: Sequence[Tensor] | None,
    gallery_labels: Labels | None,
    alpha: Weights,
    result: RetrievalResult,
    pictures: Sequence[Picture],
    gallery_pictures: Sequence[Picture] | None = None,
    relevance: Relevance | None = None,
    *,
    hits: int = 8,
    worst: int = 24,
    typical: int = 12,
    best: int = 12,
) -> list[dict[str, Any]]:
    """The first hits of the worst queries (by average precision at R), of those around the median, and of the best.

    Args:
        learners: M outputs (n, d_m) of the queries, as `evaluate_learners` got them; so the next four.
        labels: (n,).
        gallery: M outputs (g, d_m), or none.
        gallery_labels: (g,).
        alpha: (M,).
        result: what was found with the ensemble, ``map_at_r`` among it.
        pictures: (n,) what to say of each query, such as ``{"image": path, "label": class}``.
        gallery_pictures: (g,).
        relevance: which rows are right, as for `evaluate_retrieval`.
        hits: how many to show; fewer in a smaller gallery.
        worst: how many of each group; no query stands in two, and a small set is shared out.
        typical: likewise, of different classes as far as possible.
        best: likewise.

    Returns:
        Entries as in ``metrics.json``, worst first: ``group``, ``query``, ``recall_rank`` (of the first correct hit),
        ``average_precision`` (at R) and ``hits``, each a picture with ``score`` and ``correct``.
    """
    query, others = prepare(learners, labels, gallery, gallery_labels, "cosine")
    groups = _groups(result.per_query, query.codes, worst, typical, best)
    chosen = np.concatenate(list(groups.values()))
    searched = query if others is None else others
    scores = exact_scores(query, chosen, searched, views(weight_shares(alpha))[-1:])[0].cpu().numpy()
    relevance = relevance or of_same_class(query, searched)
    found = pictures if gallery_pictures is None else gallery_pictures
    entries: list[dict[str, Any]] = []
    for group, rows in groups.items():
        for row in rows.tolist():
            row_scores = scores[len(entries)]
            correct = relevance(np.array([row]), np.arange(len(searched)))[0]
            order = _first(row_scores, correct, hits, row if others is None else None)
            entries.append(
                {
                    "group": group,
                    "query": dict(pictures[row]),
                    "recall_rank": int(result.per_query["first_hit_rank"][row]),
                    "average_precision": float(result.per_query["average_precision_at_r"][row]),
                    "hits": [
                        {**found[hit], "score": float(row_scores[hit]), "correct": bool(correct[hit])}
                        for hit in order.tolist()
                    ],
                }
            )
    return entries


def _groups(
    per_query: Mapping[str, NDArray[Any]], codes: NDArray[np.int64], worst: int, typical: int, best: int
) -> dict[str, NDArray[np.int64]]:
    """Positions of queries in each group, in the order in which they are shown."""
    rows = np.flatnonzero(per_query["positives"])
    # From worst to best: average precision, and where it is equal the rank of the first hit.
    order = rows[np.lexsort((rows, -per_query["first_hit_rank"][rows], per_query["average_precision_at_r"][rows]))]
    worst = min(worst, (len(order) + 1) // 2)
    best = min(best, (len(order) - worst) // 2)
    typical = min(typical, len(order) - worst - best)
    top = _spread(order[worst:][::-1], per_query["average_precision_at_r"], codes, best)
    middle = order[worst:][~np.isin(order[worst:], top)]
    return {"worst": order[:worst], "typical": _around(middle, len(order) // 2 - worst, codes, typical), "best": top}


def _around(order: NDArray[np.int64], place: int, codes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """``count`` of an order around a place, of different classes as far as three times as many go."""
    start = min(max(place - 3 * count // 2, 0), max(len(order) - 3 * count, 0))
    near = np.arange(start, min(start + 3 * count, len(order)))
    seen: dict[int, int] = {}
    turn = np.zeros(len(order), dtype=np.int64)
    for position in near[np.argsort(abs(near - place), kind="stable")].tolist():
        turn[position] = seen.get(codes[order[position]], 0)
        seen[codes[order[position]]] = turn[position] + 1
    chosen = near[np.lexsort((abs(near - place), turn[near]))[:count]]
    return order[np.sort(chosen)]


def _spread(
    order: NDArray[np.int64], precision: NDArray[np.float64], codes: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The first ``count`` of an order, but among equals of the first precision one of each class before a second."""
    seen: dict[int, int] = {}
    turn = []
    for row in order.tolist():
        turn.append(seen.get(codes[row], 0) if precision[row] == precision[order[0]] else len(order))
        seen[codes[row]] = seen.get(codes[row], 0) + 1
    return order[np.argsort(turn, kind="stable")[:count]]


def _first(
    scores: NDArray[np.float32], correct: NDArray[np.bool_], count: int, itself: int | None
) -> NDArray[np.int64]:
    """The best hits: by score, then wrong before right, then as they stand; never the query's own row."""
    order = np.lexsort((correct, -scores))
    return order[order != itself][:count] if itself is not None else order[:count]
