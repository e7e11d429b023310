"""Runs -> the page. How it looks is in template.html, macros.html and style.css."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bier.records.history import HardPair
from bier.records.metrics import Metrics, Neighbours
from bier.records.run import RunRecords
from bier.report import charts, classes, seen, tables, validation, wording
from bier.report.confidence import confidence
from bier.report.environment import environment
from bier.report.mapped import PICTURES, permission, script, shown_map
from bier.report.matching import matching, unmeasured

QUERIES = 48
"""Queries with pictures on one page, shared out among the runs."""
SHARED_QUERIES = 6
GROUPS = ("typical", "best", "worst")
"""Of queries, in the order of the page: what to expect of the model comes first, its mistakes last."""


def render(runs: Sequence[RunRecords], thumbnail: int) -> str:
    """The whole page, with pictures of at most `thumbnail` pixels."""
    several = len(runs) > 1
    sections = [_section(run, i, len(runs)) for i, run in enumerate(runs)]
    mapped = any(section["map"] and section["map"].data for section in sections)
    return (
        environment(thumbnail)
        .get_template("template.html")
        .render(
            title=f"{len(runs)} runs compared" if several else runs[0].name,
            headline=wording.compared(runs) if several else wording.headline(runs[0]),
            comparison=_comparison(runs) if several else None,
            runs=sections,
            script=script() if mapped else None,
            permission=permission() if mapped else None,
            side=thumbnail,
        )
    )


def picture_groups(metrics: Metrics, at_most: int) -> list[tuple[str, list[Neighbours]]]:
    """Queries by group, in the order of `GROUPS`; if there are too many, each group gives up the same share."""
    keep = min(1.0, at_most / max(len(metrics.neighbours), 1))
    groups = [(name, [entry for entry in metrics.neighbours if _group(entry) == name]) for name in GROUPS]
    return [(name, entries[: max(1, int(len(entries) * keep))]) for name, entries in groups if entries]


def _group(entry: Neighbours) -> str:
    return entry.group if entry.group in GROUPS else "worst"


def hardest_pairs(run: RunRecords) -> list[tuple[str, tuple[HardPair, ...]]]:
    """Of the last epoch that has any: those of one class, then those of two."""
    hardest: dict[str, tuple[HardPair, ...]] = next(
        (epoch.hardest for epoch in reversed(run.history) if any(epoch.hardest.values())), {}
    )
    return [(kind, hardest[kind]) for kind in ("positive", "negative") if hardest.get(kind)]


def shared_queries(runs: Sequence[RunRecords]) -> list[list[tuple[int, Neighbours]]]:
    """The first few queries that at least two runs show, most widely shared first: for each, (run, its answer)."""
    answers: dict[str, dict[int, Neighbours]] = {}
    for i, run in enumerate(runs):
        for entry in sorted(run.metrics.neighbours, key=lambda entry: GROUPS.index(_group(entry))):
            answers.setdefault(entry.query.image, {})[i] = entry
    widely = sorted(answers.values(), key=len, reverse=True)
    return [list(found.items()) for found in widely if len(found) > 1][:SHARED_QUERIES]


def _comparison(runs: Sequence[RunRecords]) -> dict[str, Any]:
    ensembles = [(wording.letter(i), tables.color(i), run.metrics.ensemble) for i, run in enumerate(runs)]
    return {
        "table": tables.comparison_table(runs),
        "comparable": wording.comparable(runs),
        "differences": tables.differences(runs),
        "recall": charts.recall_chart(ensembles),
        "validation": charts.compared_over_epochs(
            runs, lambda epoch: 100 * epoch.validation_recall, "Validation Recall at 1 in percent", validated=True
        ),
        "loss": charts.compared_over_epochs(runs, lambda epoch: epoch.loss, "Training loss"),
        "shared": shared_queries(runs),
    }


def _section(run: RunRecords, index: int, runs: int) -> dict[str, Any]:
    return {
        "id": f"run-{index}",
        "letter": wording.letter(index),
        "style": tables.color(index),
        "run": run,
        "cropped": run.setting("data.crop_to_bbox") is True,
        "headline": wording.headline(run),
        "lead": wording.lead(run),
        "facts": wording.facts(run),
        "table": tables.run_table(run.metrics),
        "seen": f"{seen.about_seen(run.metrics)} {classes.new_and_known(run.metrics)}".strip(),
        "confusions": classes.shown_confusions(run.metrics),
        "class_table": classes.class_table(run.metrics),
        "recall": charts.run_recall_chart(run.metrics),
        "prefixes": charts.prefix_chart(run.metrics),
        "confidence": confidence(run.metrics),
        "matching": matching(run.metrics),
        "unmeasured": unmeasured(run.metrics),
        "chosen": charts.chosen_epoch(run.history),
        "loss": charts.loss_chart(run),
        "learner_loss": charts.learner_loss_chart(run),
        "choice": validation.choice(run),
        "validation": charts.validation_chart(run),
        "validation_map": charts.validation_map_chart(run),
        "epochs": tables.epochs_table(run.history),
        "sharing": wording.sharing(run),
        "dimensions": wording.dimension_correlation(run.metrics),
        "correlation": charts.correlation_map(run.metrics),
        "weights": charts.weight_charts(run),
        "hardest": hardest_pairs(run),
        "pictures": picture_groups(run.metrics, QUERIES // runs),
        "map": shown_map(run, PICTURES // runs),
        "origin": wording.origin(run),
    }
