"""What a score tells beyond the order of hits: verification and open-set identification, in one pass over all pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from statistics import fmean
from typing import Any

from bier.evaluate.engine.pairs import BestByPart, PairCounts, scored_tiles
from bier.evaluate.engine.table import Table, View, sides
from bier.evaluate.open_set import Deal, open_set
from bier.evaluate.verification import verification
from bier.records.matching import OpenSet, Verification
from bier.system.processes import Processes

MATCHING = ("verification", "open_set")
"""Metrics that need every pair of a query and a gallery row."""


@dataclass(frozen=True)
class Matching:
    """Of one view; none what was not asked for, or cannot be told."""

    verification: Verification | None = None
    open_set: OpenSet | None = None
    not_measured: Mapping[str, str] = field(default_factory=dict)
    """By metric, why it cannot be told."""


def match(
    query: Table, gallery: Table | None, views: Sequence[View], wanted: Collection[str], processes: Processes
) -> list[Matching]:
    """The wanted figures of each view.

    Args:
        query: the queries.
        gallery: what is searched; none searches the queries themselves.
        views: the embeddings.
        wanted: some of `MATCHING`.
        processes: share the work; each gets the whole result.
    """
    mine, others = sides(query, gallery)
    deal = Deal.of(mine, others)
    watchers: list[dict[str, PairCounts | BestByPart]] = []
    for _ in views:
        both: dict[str, PairCounts | BestByPart] = {
            "verification": PairCounts(),
            "open_set": BestByPart(len(mine), deal.starts),
        }
        watchers.append({metric: watcher for metric, watcher in both.items() if metric in wanted})
    for v, scores, tile in scored_tiles(mine, others, views, processes):
        for watcher in watchers[v].values():
            watcher.see(scores, tile)
    return [_told([_figures(watcher, deal, processes) for watcher in own.values()], list(own)) for own in watchers]


def _figures(watcher: PairCounts | BestByPart, deal: Deal, processes: Processes) -> Verification | OpenSet | str:
    if isinstance(watcher, PairCounts):
        return verification(watcher, processes)
    watcher.finish(processes)
    return open_set(watcher, deal)


def _told(found: Sequence[Verification | OpenSet | str], metrics: Sequence[str]) -> Matching:
    named = dict(zip(metrics, found, strict=True))
    reasons = {metric: value for metric, value in named.items() if isinstance(value, str)}
    figures: dict[str, Any] = {metric: value for metric, value in named.items() if metric not in reasons}
    return Matching(**figures, not_measured=reasons)


def average(values: Sequence[Any]) -> Any:
    """The mean of records, number by number, of several searches; none where one of them has none."""
    first = values[0]
    if any(value is None for value in values):
        return None
    if is_dataclass(first):
        means = {part.name: average([getattr(value, part.name) for value in values]) for part in fields(first)}
        return dataclasses.replace(first, **means)  # type: ignore[type-var]  # a class is a dataclass too
    if isinstance(first, tuple):  # curves begin at 1, and the shortest ends first
        return tuple(average(parts) for parts in zip(*values, strict=False))
    mean = fmean(values)
    return round(mean) if isinstance(first, int) else mean
