"""Class by class: a table, the pairs that are confused, and figures of new classes apart from known ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bier.records.classes import ClassFigures, Confusion
from bier.records.metrics import Metrics
from bier.report.wording import count, percent, with_sign, words

SHOWN = 20
"""Classes at each end of a table that is too long."""
FEW = 4


@dataclass(frozen=True)
class ClassTable:
    """Titles of parts, and their rows as text."""

    parts: list[tuple[str, list[list[str]]]]
    told: str
    """Which classes stand there."""


def class_table(metrics: Metrics) -> ClassTable:
    """Every class, the worst first; of many classes both ends."""
    rows = sorted(metrics.by_class, key=lambda row: (row.recall_at_1, row.map_at_r))
    if len(rows) <= 2 * SHOWN:
        return ClassTable([("", _rows(rows))], "The class with the lowest Recall@1 comes first.")
    told = (
        f"There are {len(rows):,} classes. Here are the {SHOWN} with the lowest Recall@1 and the {SHOWN} with the best."
    )
    ends = [("The lowest", rows[:SHOWN]), ("The highest", rows[-SHOWN:])]
    return ClassTable([(title, _rows(end)) for title, end in ends], told)


def _rows(classes: Sequence[ClassFigures]) -> list[list[str]]:
    return [
        [words(row.title), f"{row.queries:,}", percent(row.recall_at_1), percent(row.map_at_r), _instead(row)]
        for row in classes
    ]


def _instead(row: ClassFigures) -> str:
    return "–" if row.confused_with is None else f"{words(row.confused_with)} ({row.confused:,})"


def shown_confusions(metrics: Metrics) -> list[Confusion]:
    """Pairs that were confused again and again, or the first few."""
    again = [confusion for confusion in metrics.confusions if sum(confusion.counts) > 1]
    return again or list(metrics.confusions[:FEW])


def confusion_text(confusion: Confusion) -> str:
    """How often the two were confused, of how many queries."""
    wrong, asked = sum(confusion.counts), sum(confusion.queries)
    return f"{wrong:,} of {count(asked, 'query', 'queries')}"


def new_and_known(metrics: Metrics) -> str:
    """Figures of new classes and of known ones, where there are both; else empty."""
    known = [row for row in metrics.by_class if row.seen]
    new = [row for row in metrics.by_class if row.seen is False]
    if not known or not new or metrics.split == "train":
        return ""
    return (
        f"Recall@1 is {_mean(new)} for the {_classes(new)} that are new, and {_mean(known)} for the {_classes(known)}."
    )


def _classes(rows: Sequence[ClassFigures]) -> str:
    return count(len(rows), "class", "classes")


def _mean(rows: Sequence[ClassFigures]) -> str:
    return with_sign(sum(row.recall_at_1 * row.queries for row in rows) / sum(row.queries for row in rows))
