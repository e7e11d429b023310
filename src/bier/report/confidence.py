"""How well the model knows what it knows: figures and reliability plots."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from bier.records.metrics import Chances, Metrics
from bier.report.figures import Series, line_chart
from bier.report.wording import percent


def confidence(metrics: Metrics) -> dict[str, Any] | None:
    """What the section shows; None where the model has no calibration."""
    found = metrics.confidence
    if found is None:
        return None
    return {
        "queries": found.queries,
        "lost": found.lost,
        "rows": [("the first hit is right", found.right), ("its class is in the catalogue", found.known)],
        "right": reliability_chart(found.right, "the first hit is right"),
        "known": reliability_chart(found.known, "the class is in the catalogue"),
    }


def reliability_chart(chances: Chances, what: str) -> Markup:
    """What was said against what came true; the diagonal is where both are equal."""
    points = [(100 * each.chance, 100 * each.true) for each in chances.bins]
    told = ", ".join(f"of {each.count} at {percent(each.chance)} {percent(each.true)}" for each in chances.bins)
    return line_chart(
        [Series("equal", "features", [(0.0, 0.0), (100.0, 100.0)]), Series("found", "ensemble", points)],
        describe=f"How often {what}, in percent by the chance that was given: {told}.",
        x_label="chance given, percent",
        x_ticks={float(at): str(at) for at in range(0, 101, 20)},
    )
