"""How good chances are: do they tell true from false, and do they come true as often as they say?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

BINS = 10
"""Of equal width, from 0 to 1."""


@dataclass(frozen=True)
class Bin:
    """Answers of similar chances."""

    count: int
    chance: float
    """Their mean chance."""
    true: float
    """The share that came true."""


def area_under_curve(chances: NDArray[np.floating], true: NDArray[np.bool_]) -> float | None:
    """ROC AUC: how often a true answer has the higher chance than a false one; ties count half. None: one kind only."""
    positive, negative = int(true.sum()), int((~true).sum())
    if not positive or not negative:
        return None
    ranks = rankdata(chances)[true].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def reliability(chances: NDArray[np.floating], true: NDArray[np.bool_]) -> list[Bin]:
    """The bins that are not empty, from low chances to high."""
    places = np.clip((chances * BINS).astype(np.int64), 0, BINS - 1)
    rows = [places == place for place in range(BINS)]
    return [Bin(int(row.sum()), float(chances[row].mean()), float(true[row].mean())) for row in rows if row.any()]


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error: mean difference of chance and share that came true, weighted by the bins' counts."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.chance - each.true) for each in bins) / total if total else 0.0
