"""Runs -> charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from markupsafe import Markup

from bier.records.history import Epoch, Weights
from bier.records.metrics import Metrics, Row
from bier.records.run import RunRecords
from bier.report.figures import Series, heat_map, line_chart, mirrored_histogram, ticks
from bier.report.tables import color, style
from bier.report.wording import letter, number, percent, with_sign

PAIRS = ("positive pairs", "negative pairs")


def chosen_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """The epoch whose weights were kept, where the training chose by validation; None if nothing was validated."""
    measured = [epoch for epoch in history if math.isfinite(epoch.validation_recall)]
    kept = [epoch for epoch in measured if epoch.kept]
    return kept[0] if kept else max(measured, key=lambda epoch: epoch.validation_recall, default=None)


def loss_chart(run: RunRecords) -> Markup:
    points = _by_epoch(run, lambda epoch: epoch.loss)
    ends = [number(points[at][1]) for at in (0, -1)] if points else ["", ""]
    return _over_epochs([Series("loss", "ensemble", points)], f"Training loss by epoch, {' to '.join(ends)}.", run)


def learner_loss_chart(run: RunRecords) -> Markup:
    amount = min((len(epoch.learner_losses) for epoch in run.history), default=0)
    if amount < 2:
        return Markup("")
    series = []
    for m in range(amount):
        points = [(float(epoch.epoch), epoch.learner_losses[m]) for epoch in run.history]
        series.append(Series(f"learner {m + 1}", color(m), points))
    return _over_epochs(series, f"Training loss of each of {amount} learners by epoch.", run)


def validation_chart(run: RunRecords) -> Markup:
    best = chosen_epoch(run.history)
    told = f"; highest {with_sign(best.validation_recall)} in epoch {best.epoch}" if best else ""
    points = _by_validated_epoch(run, lambda epoch: 100 * epoch.validation_recall)
    return _over_epochs([Series("R@1", "ensemble", points)], f"Validation Recall at 1 by epoch{told}.", run)


def validation_map_chart(run: RunRecords) -> Markup:
    points = _by_validated_epoch(run, lambda epoch: 100 * epoch.validation_map_at_r)
    return _over_epochs([Series("MAP@R", "ensemble", points)], "Validation MAP at R by epoch.", run)


def compared_over_epochs(
    runs: Sequence[RunRecords], value: Callable[[Epoch], float], what: str, *, validated: bool = False
) -> Markup:
    """One line for each run, named by its letter; of a value that only ``validated`` epochs have, or of all."""
    points = _by_validated_epoch if validated else _by_epoch
    series = [Series(letter(i), color(i), points(run, value)) for i, run in enumerate(runs)]
    ends = [f"{line.name} ends at {number(line.finite[-1][1])}" for line in series if line.finite]
    return _over_epochs(series, f"{what} by epoch: {'; '.join(ends)}.")


def recall_chart(rows: Sequence[tuple[str, str, Row]]) -> Markup:
    """Recall@K against K, one line for each (name, style, row)."""
    steps = sorted({k for _, _, row in rows for k in row.recall})
    series = [
        Series(name, look, [(steps.index(k), 100 * value) for k, value in row.recall.items()])
        for name, look, row in rows
    ]
    told = [f"{name} {percent(row.recall[k])} at {k}" for name, _, row in rows for k in row.recall]
    return line_chart(
        series,
        describe=f"Recall at K in percent: {'; '.join(told)}.",
        x_label="K nearest pictures",
        x_ticks={float(at): str(k) for at, k in enumerate(steps)},
    )


def run_recall_chart(metrics: Metrics) -> Markup:
    rows = [("trained", "ensemble", metrics.ensemble)]
    rows += [(row.name, style(row), row) for row in metrics.learners if len(metrics.learners) > 1]
    return recall_chart([*rows, *_beside(metrics)])


def _beside(metrics: Metrics) -> list[tuple[str, str, Row]]:
    """What the embedding is compared with, as (name, style, row), named shortly: a chart has little room."""
    rows = {"features": metrics.features, "untrained": metrics.untrained, "pretrained": metrics.pretrained}
    return [(name, name, row) for name, row in rows.items() if row is not None]


def prefix_chart(metrics: Metrics) -> Markup:
    """Recall@1 against dimensions: what the first learners alone give, and what they are compared with."""
    prefixes = [row for row in metrics.rows if row.kind == "prefix" and 1 in row.recall]
    if len(prefixes) < 2:
        return Markup("")
    beside = _beside(metrics)
    lines = [("trained", "ensemble", prefixes), *((name, look, [row]) for name, look, row in beside)]
    series = [
        Series(name, look, [(row.dimensions, 100 * row.recall.get(1, math.nan)) for row in rows])
        for name, look, rows in lines
    ]
    told = [f"{percent(row.recall[1])} with {row.dimensions}" for row in prefixes]
    return line_chart(
        series,
        describe=f"Recall at 1 in percent by dimensions: {'; '.join(told)}.",
        x_label="dimensions",
        x_ticks={float(row.dimensions): str(row.dimensions) for row in (*prefixes, *(row for _, _, row in beside))},
    )


def correlation_map(metrics: Metrics) -> Markup:
    matrix = metrics.correlation.learners if metrics.correlation else ()
    if len(matrix) < 2:
        return Markup("")
    pairs = [(i, j) for i in range(len(matrix)) for j in range(i + 1, len(matrix))]
    told = [f"{i + 1} and {j + 1}: {matrix[i][j]:.2f}" for i, j in pairs]
    names = [f"learner {i + 1}" for i in range(len(matrix))]
    return heat_map(matrix, names, describe=f"Correlation of learners {'; '.join(told)}.")


def weight_charts(run: RunRecords) -> list[tuple[str, Markup, str]]:
    """For each learner its name, the histograms of its weights in the last epoch, and what they say."""
    weights = next((epoch.weights for epoch in reversed(run.history) if epoch.weights), None)
    if weights is None:
        return []
    # Losses with proxies weigh samples: all of them stand with the positives.
    names = PAIRS if any(map(any, weights.negative)) else ("samples", "")
    used = _used_bins(weights)
    edges = weights.edges[: used + 1]
    charts = []
    for m, (above, below) in enumerate(zip(weights.positive, weights.negative, strict=True), start=1):
        told = _told(edges, above[:used], below[:used], names)
        describe = f"Boosting weights of learner {m}: {told}"
        drawing = mirrored_histogram(edges, above[:used], below[:used], describe=describe, names=names)
        charts.append((f"Learner {m}", drawing, told))
    return charts


def _used_bins(weights: Weights) -> int:
    """Bins up to the last that holds anything, and up to weight 1 at least."""
    needed = [i for counts in weights.positive + weights.negative for i, n in enumerate(counts) if n > 0]
    return max([sum(edge < 1 - 1e-9 for edge in weights.edges), *(i + 1 for i in needed)])


def _told(edges: Sequence[float], above: Sequence[float], below: Sequence[float], names: tuple[str, str]) -> str:
    sides = [(counts, name) for counts, name in ((above, names[0]), (below, names[1])) if sum(counts) > 0]
    if all(sum(n > 0 for n in counts) == 1 for counts, _ in sides):
        return "All weigh about the same."
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    means = [(sum(x * n for x, n in zip(centres, counts, strict=True)) / sum(counts), name) for counts, name in sides]
    return f"On average {', '.join(f'{mean:.2f} for {name}' for mean, name in means)}."


def _by_epoch(run: RunRecords, value: Callable[[Epoch], float]) -> list[tuple[float, float]]:
    return [(float(epoch.epoch), value(epoch)) for epoch in run.history]


def _by_validated_epoch(run: RunRecords, value: Callable[[Epoch], float]) -> list[tuple[float, float]]:
    """The line goes on over epochs that were not validated; the axis begins with the first epoch all the same."""
    points = _by_epoch(run, value)
    judged = zip(points[1:], run.history[1:], strict=True)
    return points[:1] + [point for point, epoch in judged if epoch.validation]


def _over_epochs(series: Sequence[Series], describe: str, run: RunRecords | None = None) -> Markup:
    last = max((int(x) for line in series for x, _ in line.points), default=1)
    chosen = chosen_epoch(run.history) if run else None
    mark = float(chosen.epoch) if chosen else None
    return line_chart(series, describe=describe, x_label="epoch", x_ticks=_epoch_ticks(last), mark=mark)


def _epoch_ticks(last: int) -> dict[float, str]:
    step = max(1, math.ceil(ticks(0, last, about=6)[1]))
    return {float(epoch): str(epoch) for epoch in (1, *range(step, last + 1, step))}
