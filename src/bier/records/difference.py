"""Whether one embedding finds more than another, or chance alone could explain the difference.

Two embeddings that searched the same pictures are compared query by query: only queries that one of them got right
and the other wrong say anything. Without a difference each of these would fall to either side like a coin (McNemar,
Psychometrika 1947; here exact). Where the single queries are not known, the standard error of the difference decides.
"""

from __future__ import annotations

import math

import numpy as np

from bier.records.bits import unpacked
from bier.records.metrics import Row

LEVEL = 0.05
"""How often, at most, chance is taken for a difference where there is none."""
DEVIATES = 1.96
"""The same for a normal distribution, in standard errors."""


def gain(before: Row, after: Row, queries: int) -> int:
    """1 if ``after`` finds a right picture more often than ``before``, -1 if less often, 0 if chance explains it.

    By Recall at the smallest K that both have; 0 where there is none. Both rows are of the same queries.

    Args:
        before: one embedding.
        after: another.
        queries: over which their figures are means.
    """
    k = first_k(before, after)
    if k is None:
        return 0
    difference = after.recall[k] - before.recall[k]
    if k == 1 and before.first_right and after.first_right and len(before.first_right) == len(after.first_right):
        clear = _paired(before.first_right, after.first_right) <= LEVEL
    else:
        clear = abs(difference) > DEVIATES * _standard_error(before.recall[k], after.recall[k], queries)
    return int(np.sign(difference)) if clear else 0


def first_k(*rows: Row) -> int | None:
    """The smallest K whose recall all rows have."""
    return min(set.intersection(*(set(row.recall) for row in rows)), default=None)


def mcnemar(lost: int, won: int) -> float:
    """The probability of a split at least as uneven as this, if each query fell to either side like a coin."""
    count = lost + won
    logs = [_log_binomial(count, k) - count * math.log(2) for k in range(min(lost, won) + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def _paired(before: str, after: str) -> float:
    one, other = unpacked(before), unpacked(after)
    return mcnemar(int((one & ~other).sum()), int((other & ~one).sum()))


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _standard_error(one: float, other: float, queries: int) -> float:
    """Of the difference of two shares, as if of different queries: too large rather than too small."""
    return math.sqrt((one * (1 - one) + other * (1 - other)) / max(queries, 1))
