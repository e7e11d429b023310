"""Metrics by name. A file here, or an entry point ``bier.metrics`` of another package, adds one."""

from bier.evaluate.metrics.metric import Figures, Indices, RankMetric
from bier.system.registry import Registry

__all__ = ["METRICS", "Figures", "Indices", "RankMetric"]

METRICS: Registry[RankMetric] = Registry("metric", __name__, "bier.metrics")
"""Figures for each query whose means are metrics: ``map_at_r``, ``r_precision``, ``map`` and those of others."""
