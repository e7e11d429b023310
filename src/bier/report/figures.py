"""Charts as inline SVG, from plain numbers: pure functions, no styling.

Colours, dashes and type come from the page's style sheet through class names, so one drawing serves light, dark
and paper. Every piece of text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

WIDTH, HEIGHT = 360, 224
LEFT, RIGHT, TOP, BOTTOM = 38, 74, 12, 36
LABEL_GAP = 13.0
"""Smallest distance between the names at the ends of two lines."""


@dataclass(frozen=True)
class Series:
    """One line: its name, its class in the style sheet, and (x, y) points; a y that is not finite leaves a gap."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]

    @property
    def finite(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y in self.points if math.isfinite(y)]


@dataclass(frozen=True)
class Scale:
    """A linear map from data to the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) that enclose low..high."""
    span = (high - low) or abs(high) / 10 or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= span / about * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def line_chart(
    series: Sequence[Series], *, describe: str, x_label: str, x_ticks: Mapping[float, str], mark: float | None = None
) -> Markup:
    """Lines with their names at their ends.

    Args:
        describe: what a reader who does not see the chart is told.
        x_ticks: the places on the x axis that are named.
        mark: an x to point out with a vertical line.
    """
    drawn = [line for line in series if line.finite]
    if not drawn:
        return Markup("")
    heights = [y for line in drawn for _, y in line.finite]
    places = [x for line in drawn for x, _ in line.points]
    levels = ticks(min(heights), max(heights))
    x = Scale(min(places), max(places), LEFT + 8, WIDTH - RIGHT)
    y = Scale(levels[0], levels[-1], HEIGHT - BOTTOM, TOP)
    parts = [_grid(levels, y), _x_axis(x_ticks, x, x_label)]
    if mark is not None:
        parts.append(_line(x(mark), TOP, x(mark), HEIGHT - BOTTOM, "mark"))
    parts += [_curve(line, x, y, mark) for line in drawn]
    parts.append(_end_labels(drawn, x, y))
    return _svg(WIDTH, HEIGHT, describe, parts)


def heat_map(matrix: Sequence[Sequence[float]], names: Sequence[str], *, describe: str) -> Markup:
    """A square matrix of correlations -1..1 as shaded cells that carry their numbers."""
    cell = 56 if len(matrix) <= 5 else 36
    left, top = 66, 22
    parts = [_text(left - 8, top + (i + 0.5) * cell + 4, name, "end") for i, name in enumerate(names)]
    parts += [_text(left + (i + 0.5) * cell, top - 8, name.split()[-1], "middle") for i, name in enumerate(names)]
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            parts.append(_cell(left + j * cell, top + i * cell, cell, value, f"{names[i]} and {names[j]}"))
    side = len(matrix) * cell
    return _svg(left + side + 4, top + side + 4, describe, parts)


def mirrored_histogram(
    edges: Sequence[float], above: Sequence[float], below: Sequence[float], *, describe: str, names: tuple[str, str]
) -> Markup:
    """Two histograms over the same bins, one growing up and one growing down, each as shares of its own total.

    Args:
        edges: of the bins, one more than there are counts.
        above: counts of the upper histogram.
        below: counts of the lower.
        describe: what a reader who does not see the chart is told.
        names: of the two; one without a name is not mentioned.
    """
    width, left, top, middle, bottom = 300, 38, 16, 92, 168
    right = width - 8
    sides = (("positive", _shares(above), names[0], top, 1), ("negative", _shares(below), names[1], bottom, -1))
    high = ticks(0.0, max(share for _, shares, *_ in sides for share in shares), about=6)[-1]
    x, y = Scale(edges[0], edges[-1], left, right), Scale(-high, high, bottom, top)
    parts = [_line(left, middle, right, middle, "axis")]
    for style, shares, name, edge, sign in sides:
        if name:
            parts.append(_text(left, edge + (14 if sign < 0 else -6), name, "start", style))
            parts.append(_text(left - 6, edge + (0 if sign < 0 else 8), f"{high:.0%}", "end"))
        parts += [
            _bar(x(start), x(end), middle, y(sign * share), style, f"{start:g} to {end:g}: {share:.1%} of {name}")
            for (start, end), share in zip(pairwise(edges), shares, strict=True)
            if share > 0
        ]
    places = [value for value in ticks(edges[0], edges[-1]) if value <= edges[-1]]
    parts += [_text(x(value), bottom + 30, f"{value:g}", "middle") for value in places]
    return _svg(width, bottom + 36, describe, parts)


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total > 0 else 0.0 for count in counts]


def _svg(width: float, height: float, describe: str, parts: Sequence[Markup]) -> Markup:
    shell = Markup('<svg class="chart" viewBox="0 0 {:g} {:g}" width="{:g}" role="img" aria-label="{}">{}</svg>')
    return shell.format(width, height, width, describe, Markup("").join(parts))


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> Markup:
    return Markup('<text x="{:g}" y="{:g}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, style, text)


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}" class="{}"/>').format(x1, y1, x2, y2, style)


def _bar(x1: float, x2: float, y1: float, y2: float, style: str, title: str) -> Markup:
    bar = Markup('<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" class="bar {}"><title>{}</title></rect>')
    return bar.format(x1 + 0.5, min(y1, y2), round(x2 - x1 - 1, 1), round(abs(y2 - y1), 1), style, title)


def _cell(x: float, y: float, side: float, value: float, title: str) -> Markup:
    shown = f"{value:.2f}" if math.isfinite(value) else "–"
    strength = min(abs(value), 1.0) if math.isfinite(value) else 0.0
    style = "negative" if value < 0 else "positive"
    box = Markup('<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" fill-opacity="{:.2f}"/>')
    number = _text(x + side / 2, y + side / 2 + 4, shown, "middle")
    shade = box.format(x, y, side - 2, side - 2, 0.06 + 0.94 * strength)
    return Markup('<g class="cell {}">{}{}<title>{}</title></g>').format(style, shade, number, f"{title}: {shown}")


def _grid(levels: Sequence[float], y: Scale) -> Markup:
    digits = next(d for d in range(12) if d == 11 or all(round(level, d) == level for level in levels))
    lines = [_line(LEFT, y(level), WIDTH - RIGHT + 8, y(level), "grid") for level in levels]
    names = [_text(LEFT - 6, y(level) + 4, f"{level:.{digits}f}", "end") for level in levels]
    return Markup("").join(lines + names)


def _x_axis(names: Mapping[float, str], x: Scale, label: str) -> Markup:
    places: list[Markup] = []
    free = -math.inf
    for value, name in sorted(names.items()):
        half = 3.5 * len(name)
        if x(value) - half >= free:  # names that would overlap are left out
            places.append(_text(x(value), HEIGHT - BOTTOM + 16, name, "middle"))
            free = x(value) + half + 4
    return Markup("").join([*places, _text((x.start + x.end) / 2, HEIGHT - 4, label, "middle", "label")])


def _curve(line: Series, x: Scale, y: Scale, mark: float | None) -> Markup:
    runs: list[list[str]] = [[]]
    for at, value in line.points:
        if math.isfinite(value):
            runs[-1].append(f"{x(at):g},{y(value):g}")
        else:
            runs.append([])
    strokes = [Markup('<polyline points="{}"/>').format(" ".join(run)) for run in runs if len(run) > 1]
    radius = 2.6 if len(line.points) <= 24 else 1.4
    dot = Markup('<circle cx="{:g}" cy="{:g}" r="{:g}"><title>{}</title></circle>')
    dots = [
        dot.format(x(at), y(value), radius + 2 * (at == mark), f"{line.name}: {value:.4g}") for at, value in line.finite
    ]
    return Markup('<g class="series {}">{}</g>').format(line.style, Markup("").join(strokes + dots))


def _end_labels(lines: Sequence[Series], x: Scale, y: Scale) -> Markup:
    """Names beside the last points, pushed apart where lines end close together."""
    labels = []
    for end in sorted({line.finite[-1][0] for line in lines}):
        here = sorted((y(line.finite[-1][1]), line.name, line.style) for line in lines if line.finite[-1][0] == end)
        heights = _spread([height for height, _, _ in here], TOP + 2, HEIGHT - BOTTOM)
        labels += [
            _text(x(end) + 9, height + 4, name, "start", f"name {style}")
            for height, (_, name, style) in zip(heights, here, strict=True)
        ]
    return Markup("").join(labels)


def _spread(places: Sequence[float], low: float, high: float) -> list[float]:
    """Ascending places, moved as little as needed so that neighbours keep LABEL_GAP and none lies beyond `high`."""
    gap = min(LABEL_GAP, (high - low) / max(len(places) - 1, 1))
    result = list(places)
    for i in range(1, len(result)):
        result[i] = max(result[i], result[i - 1] + gap)
    for i in reversed(range(len(result))):
        limit = high if i == len(result) - 1 else result[i + 1] - gap
        result[i] = min(result[i], limit)
    return result
