"""The formulas of retrieval, as pure functions of the ranks of each query's positives.

Conventions, the same everywhere in this package:

- **Rank** 1 is the best hit. A positive that ties with a negative comes *after* it, so that an embedding which maps
  everything to one point scores what it deserves and not 100 %.
- **Self matches** are no hits: a query's own row is left out by its identity, never by its score. An exact duplicate of
  the query is another row and stays.
- **Queries without a positive** have no rank (`NO_POSITIVE`). They are counted and reported; a caller leaves them out
  of the mean or counts them as misses.

Ranks of all positives come as one list: those of a query one after the other, the best first. ``owner`` tells the query
of each, ``nth`` is 1 for a query's best positive, 2 for the next, and ``positives`` holds ``R``, each query's number of
positives in the gallery.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bier.evaluate.metrics.metric import Figures, Indices, RankMetric

NO_POSITIVE = 0
"""First-hit rank of a query that has nothing to find."""


def recall(first_hit: Indices, k: int) -> float:
    """Recall@K: the share of queries with a positive among their first ``k`` hits, 0 to 1.

    Args:
        first_hit: (q,) rank of each query's best positive, or `NO_POSITIVE`, which is a miss at every ``k``.
        k: may exceed the size of the gallery.
    """
    found = (first_hit != NO_POSITIVE) & (first_hit <= k)
    return int(found.sum()) / len(first_hit)


def average_precision_at_r(ranks: Indices, nth: Indices, owner: Indices, positives: Indices) -> Figures:
    """``1/R sum_{i<=R} P(i) rel(i)`` for each query, (q,); its mean is MAP@R (Musgrave et al., ECCV 2020, section 3.2).

    ``P(i)`` is the precision among the first i hits. The k-th positive stands at a rank r where the precision is k / r.
    """
    return _per_query(np.where(ranks <= positives[owner], nth / ranks, 0.0), owner, positives)


def r_precision(ranks: Indices, nth: Indices, owner: Indices, positives: Indices) -> Figures:
    """The share of positives among the first ``R`` hits for each query, (q,)."""
    return _per_query(ranks <= positives[owner], owner, positives)


def average_precision(ranks: Indices, nth: Indices, owner: Indices, positives: Indices) -> Figures:
    """``1/R sum_k k / r_k`` over all positives of each query, (q,); its mean is mAP."""
    return _per_query(nth / ranks, owner, positives)


def _per_query(values: NDArray[np.generic], owner: Indices, positives: Indices) -> Figures:
    # `bincount` adds one after the other: a query's sum does not depend on its neighbours.
    sums = np.bincount(owner, weights=values, minlength=len(positives))
    with np.errstate(invalid="ignore"):
        return sums / positives  # 0 / 0 is NaN: nothing to find


def mean(values: Figures) -> float:
    """The mean, exactly rounded, so that the order of queries does not matter."""
    return math.fsum(values.tolist()) / len(values)


MEMBERS = {
    "map_at_r": RankMetric(average_precision_at_r, needs="at_r", column="average_precision_at_r"),
    "r_precision": RankMetric(r_precision, needs="at_r"),
    "map": RankMetric(average_precision, column="average_precision"),
}
