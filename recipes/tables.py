"""How the recipes print figures."""

from __future__ import annotations

import statistics


def spread(values: list[float]) -> str:
    """Mean and standard deviation, in percent."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"
