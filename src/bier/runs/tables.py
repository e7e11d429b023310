"""Figures as a person reads them."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from bier.evaluate import CONVENTIONS

ALSO = {"map": "mAP", "nmi": "NMI", "ami": "AMI"}
"""Metrics that are computed on demand, as tables head them."""


def table(metrics: dict[str, Any]) -> Table:
    """The rows of ``metrics.json`` as a person reads them."""
    k = list(metrics["rows"][0]["recall"])
    view = Table(
        title=f"{metrics['name']}: {metrics['queries']:,} queries of {metrics['classes']:,} classes, "
        f"{metrics['split']} split of {metrics['source']}",
        title_justify="left",
    )
    view.add_column("embedding")
    also = [metric for metric in ALSO if metric in metrics["rows"][0]]
    for heading in ("dims", *(f"R@{n}" for n in k), "MAP@R", "R-prec.", *(ALSO[metric] for metric in also)):
        view.add_column(heading, justify="right")
    for row in _distinct(metrics["rows"]):
        values = [*(row["recall"][n] for n in k), row["map_at_r"], row["r_precision"], *(row[m] for m in also)]
        view.add_row(row["name"], str(row["dimensions"]), *(f"{100 * value:.1f}" for value in values))
    if metrics["queries_without_positive"]:
        counted = "are left out" if CONVENTIONS["exclude"] in metrics["conventions"] else "count as misses"
        view.caption = f"{metrics['queries_without_positive']:,} queries without a positive {counted}"
    return view


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without prefixes of one learner or of all, and without the learner that is the whole embedding."""
    everyone = len(rows[0]["learners"])
    new = {"learner": range(1, everyone), "prefix": range(2, everyone)}
    return [row for row in rows if row["kind"] not in new or len(row["learners"]) in new[row["kind"]]]
