"""Class by class: figures, the class that is found instead most often, and the pairs of classes most often confused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.evaluate.engine.exact import Relevance, of_same_class
from bier.evaluate.engine.inputs import Labels, as_list, prepare
from bier.evaluate.engine.table import Indices, Table, views
from bier.evaluate.learners import Weights, weight_shares
from bier.evaluate.retrieval import RetrievalResult

SCORES = 1 << 23
"""Scores held at once."""
PAIRS = 12
"""Pairs of classes that are kept with pictures."""

Picture = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class WrongHits:
    """Queries whose first hit is wrong, and that hit."""

    query: Indices
    """(w,) rows."""
    hit: Indices
    """(w,) rows of what was searched."""
    score: NDArray[np.float32]


def by_class(
    learners: Sequence[Tensor],
    labels: Labels,
    gallery: Sequence[Tensor] | None,
    gallery_labels: Labels | None,
    alpha: Weights,
    result: RetrievalResult,
    pictures: Sequence[Picture],
    gallery_pictures: Sequence[Picture] | None = None,
    relevance: Relevance | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Figures of every class, and the pairs of classes that are confused most often.

    Only queries whose first hit is wrong are searched again, in float32: a confusion is no figure.

    Args:
        learners: M outputs (n, d_m) of the queries, as for `bier.evaluate.neighbours.neighbours`; so the others.
        labels: (n,).
        gallery: M outputs (g, d_m), or none.
        gallery_labels: (g,).
        alpha: (M,).
        result: what was found with the ensemble, ``map_at_r`` among it.
        pictures: (n,) what to say of each query.
        gallery_pictures: (g,).
        relevance: which rows are right, as for `evaluate_retrieval`.

    Returns:
        ``by_class`` and ``confusions`` as in ``metrics.json`` (`bier.records.classes`): classes by their labels' order
        of appearance, confusions from the most frequent on.
    """
    query, others = prepare(learners, labels, gallery, gallery_labels, "cosine")
    mine = as_list(labels)
    theirs = mine if others is None or gallery_labels is None else as_list(gallery_labels)
    found = pictures if gallery_pictures is None else gallery_pictures
    rows = np.flatnonzero(result.counted & (result.per_query["first_hit_rank"] != 1))
    searched = query if others is None else others
    wrong = _wrong_hits(query, searched, rows, alpha, relevance or of_same_class(query, searched))
    titles = {label: _title(picture) for label, picture in [*zip(theirs, found, strict=True)]}
    titles |= {label: _title(picture) for label, picture in zip(mine, pictures, strict=True)}
    pairs = [(mine[row], theirs[hit]) for row, hit in zip(wrong.query.tolist(), wrong.hit.tolist(), strict=True)]
    own = result.rows_by_class(mine)
    queries = {label: len(asked) for label, asked in own.items()}
    return {
        "by_class": _figures(own, result, pairs, titles, pictures),
        "confusions": _confusions(pairs, wrong, queries, pictures, found),
    }


def _wrong_hits(query: Table, gallery: Table, rows: Indices, alpha: Weights, relevance: Relevance) -> WrongHits:
    """The nearest picture that is not right for each row."""
    view = views(weight_shares(alpha))[-1]
    searched = gallery.embedding(view)
    asking = searched if query is gallery else query.embedding(view)
    everything = np.arange(len(gallery))
    step = max(1, SCORES // len(gallery))
    hits, scores = [torch.empty(0, dtype=torch.int64)], [torch.empty(0)]
    for start in range(0, len(rows), step):
        some = torch.from_numpy(rows[start : start + step])
        similar = asking[some] @ searched.T
        similar.masked_fill_(torch.from_numpy(relevance(some.numpy(), everything)), -torch.inf)
        best = similar.max(1)
        hits.append(best.indices)
        scores.append(best.values)
    score = torch.cat(scores)
    others = torch.isfinite(score).numpy()  # all of one class: nothing wrong is there to be found
    return WrongHits(rows[others], torch.cat(hits).numpy()[others], score.numpy()[others])


def _figures(
    own: Mapping[Any, Indices],
    result: RetrievalResult,
    pairs: Sequence[tuple[Any, Any]],
    titles: Mapping[Any, str],
    pictures: Sequence[Picture],
) -> list[dict[str, Any]]:
    instead: dict[Any, Counter[Any]] = {}
    for label, other in pairs:
        instead.setdefault(label, Counter())[other] += 1
    first = result.per_query["first_hit_rank"] == 1
    precision = np.nan_to_num(result.per_query["average_precision_at_r"])
    table = []
    for label, rows in own.items():
        figures: dict[str, Any] = {"label": str(label), "queries": len(rows)}
        figures |= {"recall_at_1": float(first[rows].mean()), "map_at_r": float(precision[rows].mean())}
        if name := pictures[rows[0]].get("name"):
            figures["name"] = str(name)
        if label in instead:
            [(other, count)] = instead[label].most_common(1)
            figures |= {"confused_with": titles[other], "confused": count}
        table.append(figures)
    return table


def _confusions(
    pairs: Sequence[tuple[Any, Any]],
    wrong: WrongHits,
    queries: Mapping[Any, int],
    pictures: Sequence[Picture],
    found: Sequence[Picture],
) -> list[dict[str, Any]]:
    """Both ways together: a wrong hit in either is a confusion of the same two classes."""
    places: dict[frozenset[Any], list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(frozenset(pair), []).append(place)
    confusions = []
    for together in sorted(places.values(), key=lambda together: -len(together))[:PAIRS]:
        best = max(together, key=lambda place: float(wrong.score[place]))
        one, other = pairs[best]
        ahead = sum(pairs[place] == (one, other) for place in together)
        confusions.append(
            {
                "counts": [ahead, len(together) - ahead],
                "queries": [queries.get(one, 0), queries.get(other, 0)],
                "pictures": [dict(pictures[wrong.query[best]]), dict(found[wrong.hit[best]])],
                "score": float(wrong.score[best]),
            }
        )
    return confusions


def _title(picture: Picture) -> str:
    return str(picture.get("name") or picture.get("label", ""))
