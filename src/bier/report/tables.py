"""Runs -> rows of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bier.records.history import Epoch
from bier.records.metrics import Metrics, Row
from bier.records.run import RunRecords
from bier.report.wording import comparable, flatten, letter, number, percent, shown

COLORS = 6
"""Line colours in the style sheet; a seventh line starts again."""
KINDS = {
    "before": "Before training",
    "ensemble": "All learners together",
    "learner": "Each learner alone",
    "prefix": "The first learners together",
    "reranked": "The first hits ranked again",
    "features": "The trained backbone, without the embedding",
}
BEFORE = ("pretrained", "untrained")
"""Kinds of rows from before training, which one group holds."""


@dataclass(frozen=True)
class Cell:
    text: str
    spread: str
    best: bool


@dataclass(frozen=True)
class Line:
    """A row as it is drawn: its name, its class in the style sheet, and where its name leads."""

    name: str
    style: str
    href: str | None
    row: Row


@dataclass(frozen=True)
class Table:
    columns: list[str]
    groups: list[tuple[str, list[tuple[Line, list[Cell]]]]]
    best_of: str
    """``column``, ``group``, or empty where nothing is marked."""


def table(groups: Sequence[tuple[str, Sequence[Line]]], best_of: Literal["column", "group", ""] = "column") -> Table:
    """Groups of lines as text; groups without lines are left out.

    Args:
        groups: titles and their lines.
        best_of: among which lines the best of each column is marked; empty for nowhere.
    """
    groups = [(title, lines) for title, lines in groups if lines]
    rows = [line.row for _, lines in groups for line in lines]
    columns = sorted(dict.fromkeys(name for row in rows for name in row.figures), key=_order)
    filled = []
    for title, lines in groups:
        rivals = {"column": rows, "group": [line.row for line in lines if len(lines) > 1], "": []}[best_of]
        best = [max((row.figures[name] for row in rivals if name in row.figures), default=math.nan) for name in columns]
        cells = [[_cell(line.row, name, top) for name, top in zip(columns, best, strict=True)] for line in lines]
        filled.append((title, list(zip(lines, cells, strict=True))))
    return Table(columns, filled, best_of)


def run_table(metrics: Metrics) -> Table:
    """The figures of one run: before training, the ensemble, each learner, each prefix, the features."""
    rows, kinds = metrics.rows, KINDS
    if len(metrics.learners) < 2:  # the learner and its prefix are the embedding itself
        rows = tuple(row for row in rows if row.kind not in ("learner", "prefix"))
        kinds = {**KINDS, "ensemble": "The embedding"}
    groups: dict[str, list[Line]] = {kind: [] for kind in kinds}
    for row in rows:
        group = "before" if row.kind in BEFORE else row.kind
        groups.setdefault(group, []).append(Line(row.name, style(row), None, row))
    return table([(kinds.get(kind, kind), lines) for kind, lines in groups.items()])


def comparison_table(runs: Sequence[RunRecords]) -> Table:
    """Several runs before training, then their embeddings, then the features beneath."""
    found = [run.metrics for run in runs]
    embeddings = [
        Line(f"{letter(i)} · {run.name}", color(i), f"#run-{i}", run.metrics.ensemble) for i, run in enumerate(runs)
    ]
    groups = [
        ("Before training: the backbone’s features", _lines(runs, [metrics.pretrained for metrics in found])),
        ("Before training: the embedding", _lines(runs, [metrics.untrained for metrics in found])),
        ("The trained embedding of each run", embeddings),
        ("Its trained backbone’s features", _lines(runs, [metrics.features for metrics in found])),
    ]
    return table(groups, best_of="group" if comparable(runs) else "")


def _lines(runs: Sequence[RunRecords], rows: Sequence[Row | None]) -> list[Line]:
    """A line for each run that has such a row; one for all of them where it is the same."""
    known = [row for row in rows if row is not None]
    if len(known) == len(rows) > 1 and all(row == known[0] for row in known):
        return [Line(f"all: {known[0].name}", style(known[0]), None, known[0])]
    return [
        Line(f"{letter(i)} · {run.name}", color(i), None, row)
        for i, (run, row) in enumerate(zip(runs, rows, strict=True))
        if row is not None
    ]


def epochs_table(history: Sequence[Epoch]) -> tuple[list[str], list[list[str]]]:
    """The heads of the columns, and a row for each epoch."""
    learners = max((len(epoch.learner_losses) for epoch in history), default=0)
    names = [f"learner {m + 1}" for m in range(learners)]
    heads = [
        "epoch",
        "loss",
        *names,
        "diversity",
        "validation R@1, %",
        "validation MAP@R, %",
        "learning rate",
        "images/s",
        "seconds",
    ]
    rows = [
        [
            str(epoch.epoch),
            number(epoch.loss),
            *(number(loss) for loss in epoch.learner_losses),
            *("–" for _ in range(learners - len(epoch.learner_losses))),
            number(epoch.diversity),
            percent(epoch.validation_recall),
            percent(epoch.validation_map_at_r),
            number(epoch.learning_rate),
            number(epoch.images_per_second),
            number(epoch.seconds),
        ]
        for epoch in history
    ]
    return heads, rows


def differences(runs: Sequence[RunRecords]) -> list[tuple[str, list[str]]]:
    """The settings in which the runs differ, as far as their settings are known."""
    flat = [dict(flatten(run.config)) for run in runs]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    values = {key: [_setting(settings, key) for settings in flat] for key in keys}
    known = [i for i, settings in enumerate(flat) if settings]
    return [(key, row) for key, row in values.items() if len({row[i] for i in known}) > 1]


def _setting(settings: dict[str, Any], key: str) -> str:
    return "default" if settings and settings.get(key) is None else shown(settings.get(key))


def color(index: int) -> str:
    """The style of a learner or run."""
    return f"c{index % COLORS}"


def style(row: Row) -> str:
    return color(row.learners[0]) if row.kind == "learner" and row.learners else row.kind


def _order(column: str) -> tuple[bool, int]:
    return (False, int(column[2:])) if column.startswith("R@") else (True, 0)


def _cell(row: Row, column: str, best: float) -> Cell:
    value = row.figures.get(column, math.nan)
    spread = row.spread.get(column)
    # Best as it is shown: a difference that the table hides is no reason to prefer one.
    marked = math.isfinite(value) and percent(value) == percent(best)
    return Cell(percent(value), "" if spread is None else f"±{percent(spread)}", marked)
