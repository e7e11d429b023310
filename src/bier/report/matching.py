"""What a score tells, on the page: verification and open-set identification, a chart and a sentence each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bier.records.matching import OpenSet, Verification
from bier.records.metrics import Metrics, Row
from bier.report.figures import Series, line_chart
from bier.report.wording import count, percent, with_sign


@dataclass(frozen=True)
class Told:
    """One question of a score."""

    title: str
    sentence: str
    """What the figures mean, in plain words."""
    figures: list[tuple[str, str]]
    chart: Markup
    axes: str
    """What the chart shows."""


def matching(metrics: Metrics) -> list[Told]:
    """Of the whole embedding, beside other rows that were measured alike; empty in older files."""
    rows = [(_name(row), _style(row), row) for row in metrics.rows if row.kind in ("ensemble", "features")]
    told = []
    if (pairs := metrics.ensemble.verification) is not None:
        curves = [(name, look, row.verification.curve) for name, look, row in rows if row.verification is not None]
        told.append(
            Told("Are two pictures of one class?", _of_pairs(pairs), _shown(pairs), _curve_chart(curves, "TAR"), TAR)
        )
    if (queries := metrics.ensemble.open_set) is not None:
        curves = [(name, look, row.open_set.curve) for name, look, row in rows if row.open_set is not None]
        told.append(
            Told("Is the class there at all?", _of_queries(queries), _shown(queries), _curve_chart(curves, "DIR"), DIR)
        )
    return told


TAR = "True accept rate in percent, by false accept rate (ROC curve)."
DIR = "Detection and identification rate in percent, by false alarm rate."


def unmeasured(metrics: Metrics) -> list[str]:
    """Why a question has no answer, a sentence each."""
    return [f"{name.replace('_', '-').capitalize()} is not measured: {why}." for name, why in _reasons(metrics)]


def _reasons(metrics: Metrics) -> list[tuple[str, str]]:
    return list((metrics.not_measured or {}).items())


def _of_pairs(found: Verification) -> str:
    sentence = f"A right pair scores above a wrong one in {with_sign(found.auc)} of cases."
    known = [point for point in found.tar if point.rate is not None and point.threshold is not None]
    if known and known[0].rate is not None:
        sentence += (
            f" From a score of {known[0].threshold:.2f} on, {with_sign(known[0].rate)} of right pairs are accepted, "
            f"and {_share(known[0].far)} of wrong ones."
        )
    return sentence


def _of_queries(found: OpenSet) -> str:
    whose = f"With {_share(found.left_out)} of the classes left out of the gallery"
    point = next((point for point in found.dir if point.rate is not None), None)
    if point is None or point.rate is None:
        return f"{whose}, there are too few queries to tell a false alarm rate."
    return (
        f"{whose}, and {_share(point.far)} false alarms, {with_sign(point.rate)} of queries get a right first hit "
        "above the threshold."
    )


def _shown(found: Verification | OpenSet) -> list[tuple[str, str]]:
    terms = [(name, "–" if value is None else with_sign(value)) for name, value in found.figures.items()]
    if isinstance(found, Verification):
        return [*terms, ("pairs", f"{found.positive_pairs:,} right, {found.negative_pairs:,} wrong")]
    return [*terms, ("mean of", f"{count(found.draws, 'draw')} with {found.known:,} known queries each")]


def _curve_chart(curves: Sequence[tuple[str, str, tuple[tuple[float, ...], ...]]], rate: str) -> Markup:
    series = [
        Series(name, look, [(math.log10(x), 100 * y) for x, y in reversed(points)]) for name, look, points in curves
    ]
    told = [f"{name}: " + ", ".join(f"{percent(y)} at {_share(x)}" for x, y in points) for name, _, points in curves]
    powers = range(-7, 1)
    return line_chart(
        series,
        describe=f"{rate} in percent by false alarm rate. {'; '.join(told)}.",
        x_label="false alarm rate",
        x_ticks={float(power): _share(10.0**power) for power in powers if _within(power, series)},
    )


def _within(power: int, series: Sequence[Series]) -> bool:
    places = [x for line in series for x, _ in line.points]
    return bool(places) and min(places) - 1e-9 <= power <= max(places) + 1e-9


def _share(rate: float) -> str:
    return f"{100 * rate:g}\u00a0%"


def _name(row: Row) -> str:
    return "trained" if row.kind == "ensemble" else "features"


def _style(row: Row) -> str:
    return row.kind
