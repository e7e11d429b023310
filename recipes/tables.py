"""The two sets of photographs, and figures of several seeds, as the recipes print and draw them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

NAMES = {"cub100": "CUB-100", "cars196": "Cars-196"}
"""The folders of the photographs, and what tables call them."""
DATASETS = tuple(NAMES)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Of shares, in percent; the deviation of a single one is 0."""
    return 100 * statistics.mean(values), 100 * statistics.stdev(values) if len(values) > 1 else 0.0


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, in percent; of a single value that value."""
    mean, deviation = mean_and_deviation(values)
    return f"{mean:.1f}" if len(values) < 2 else f"{mean:.1f} ± {deviation:.1f}"
