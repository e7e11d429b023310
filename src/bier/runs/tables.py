"""Figures as a person reads them."""

from __future__ import annotations

from rich.table import Table

from bier.evaluate import CONVENTIONS
from bier.records.metrics import Metrics, Row

SHORT = {"R-precision": "R-prec."}
"""Figures whose names are too wide for a terminal."""


def table(metrics: Metrics) -> Table:
    """The rows of an evaluation, a column for each figure."""
    columns = list(metrics.ensemble.figures)
    view = Table(
        title=f"{metrics.name}: {metrics.queries:,} queries of {metrics.classes:,} classes{_seen(metrics)}, "
        f"{metrics.split} split of {metrics.source}",
        title_justify="left",
    )
    view.add_column("embedding")
    for heading in ("dims", *(SHORT.get(name, name) for name in columns)):
        view.add_column(heading, justify="right")
    for row in _distinct(metrics):
        view.add_row(row.name, str(row.dimensions), *(_percent(row, name) for name in columns))
    if metrics.queries_without_positive:
        counted = "are left out" if CONVENTIONS["exclude"] in metrics.conventions else "count as misses"
        view.caption = f"{metrics.queries_without_positive:,} queries without a positive {counted}"
    return view


def matching_table(metrics: Metrics) -> Table | None:
    """What a score tells, a row for each figure; none where no embedding has any."""
    rows = [row for row in _distinct(metrics) if any(value is not None for value in row.matching.values())]
    if not rows:
        return None
    view = Table(title="Does a score tell a match? In percent", title_justify="left")
    view.add_column("figure")
    for row in rows:
        view.add_column(row.name, justify="right")
    for name in rows[0].matching:
        values = [row.matching.get(name) for row in rows]
        view.add_row(name, *("–" if value is None else f"{100 * value:.1f}" for value in values))
    return view


def not_measured(metrics: Metrics) -> list[str]:
    """Why figures that were asked for are none, a sentence each."""
    return [
        f"{name.replace('_', '-')} is not measured: {reason}" for name, reason in (metrics.not_measured or {}).items()
    ]


def _seen(metrics: Metrics) -> str:
    if not metrics.classes_seen or metrics.split == "train":
        return ""
    return f" ({metrics.classes_seen:,} with labels of training classes)"


def _percent(row: Row, name: str) -> str:
    return f"{100 * row.figures[name]:.1f}" if name in row.figures else "–"


def _distinct(metrics: Metrics) -> list[Row]:
    """Without prefixes of one learner or of all, and without the learner that is the whole embedding."""
    everyone = len(metrics.ensemble.learners)
    new = {"learner": range(1, everyone), "prefix": range(2, everyone)}
    return [row for row in metrics.rows if row.kind not in new or len(row.learners) in new[row.kind]]
