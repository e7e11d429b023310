"""What a metric is: a figure for each query, from the ranks of its positives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Figures = NDArray[np.float64]


@dataclass(frozen=True)
class RankMetric:
    """A figure for each query; its mean over queries is the metric.

    Args:
        formula: ``(ranks, nth, owner, positives)`` to (q,) figures, NaN for a query without a positive. Ranks of all
            positives come as one list, those of a query one after the other, the best first. ``owner`` is the query of
            each, ``nth`` is 1 for a query's best positive, 2 for the next. ``positives`` (q,) is R.
        needs: ``all`` ranks, which is slower; or those up to R (``at_r``), where ranks above R may be any number above.
        column: its name in `RetrievalResult.per_query`; by default the metric's own.
    """

    formula: Callable[[Indices, Indices, Indices, Indices], Figures]
    needs: Literal["at_r", "all"] = "all"
    column: str = ""
