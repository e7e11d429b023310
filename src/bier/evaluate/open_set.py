"""Open-set identification: queries whose class is not in the gallery, and must be refused.

Classes are dealt into parts. Each draw leaves half of the parts out of the gallery, in turn, so that every class is
left out as often as any other. A query is *known* if the gallery has something right for it, *unknown* if not. It
raises a false alarm if it is unknown and its first hit reaches the threshold. The detection and identification rate
(DIR) is the share of known queries whose first hit is right and reaches the threshold (Phillips, Grother and Micheals,
Handbook of Face Recognition, 2nd edition, 2011, chapter 21; ISO/IEC 19795-1 calls them TPIR and FPIR).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bier.evaluate.engine.pairs import BestByPart
from bier.evaluate.engine.table import Indices, Scores, Side
from bier.evaluate.metrics import Figures
from bier.evaluate.verification import GRID, curve
from bier.records.matching import AtFar, OpenSet

FARS = (0.1, 0.01)
PARTS = 10
"""Draws, too; as many as classes where there are fewer."""


@dataclass(frozen=True, eq=False)
class Deal:
    """The gallery's classes in parts."""

    starts: Indices
    """(parts + 1,) positions in the gallery where each part begins, and the end."""
    part: Indices
    """(q,) of each query's class; -1 where the gallery has none of it."""
    classes: int

    @staticmethod
    def of(query: Side, gallery: Side) -> Deal:
        """Parts of as many classes each as can be, in the order of the gallery, in which classes are shuffled."""
        classes, first = np.unique(gallery.turn, return_index=True)
        parts = min(PARTS, len(classes))
        part = np.arange(len(classes)) * parts // len(classes)
        starts = np.append(first[np.searchsorted(part, np.arange(parts))], len(gallery))
        place = np.searchsorted(classes, query.turn).clip(max=len(classes) - 1)
        return Deal(starts, np.where(classes[place] == query.turn, part[place], -1), len(classes))

    @property
    def parts(self) -> int:
        return len(self.starts) - 1

    def left_out(self, draw: int) -> NDArray[np.bool_]:
        """(parts,): which stay away in a draw."""
        away = np.zeros(self.parts, dtype=bool)
        away[(draw + np.arange(self.parts // 2)) % self.parts] = True
        return away


@dataclass(frozen=True, eq=False)
class Draw:
    """What the queries of one draw scored."""

    known: int
    found: Scores
    """First hits of known queries that are right."""
    alarms: Scores
    """(unknown,) First hits of unknown queries, descending."""

    @staticmethod
    def of(best: BestByPart, deal: Deal, away: NDArray[np.bool_]) -> Draw:
        wrong = best.wrong[:, ~away].max(1)
        known = np.isfinite(best.right) & (deal.part >= 0) & ~away[deal.part]
        # A right hit that ties with a wrong one comes after it.
        found = best.right[known & (best.right > wrong)]
        return Draw(int(known.sum()), found, np.sort(wrong[~known])[::-1])

    def at(self, far: float) -> AtFar:
        """The lowest threshold that so large a share of the unknown reach; none where one of them is more."""
        unknown = len(self.alarms)
        if far * unknown < 1:
            return AtFar(far=far, rate=None)
        allowed = int(np.searchsorted(np.arange(1, unknown + 1) / unknown, far, side="right"))
        bar = float(self.alarms[allowed]) if allowed < unknown else -np.inf
        rate = float((self.found > bar).sum() / self.known)
        return AtFar(far=far, rate=rate, threshold=bar if np.isfinite(bar) else None)


def open_set(best: BestByPart, deal: Deal) -> OpenSet | str:
    """The figures of one view; or why there are none."""
    if deal.classes < 2:
        return "the gallery has one class only, and none can be left out"
    every = [Draw.of(best, deal, deal.left_out(draw)) for draw in range(deal.parts)]
    draws = [draw for draw in every if draw.known and len(draw.alarms)]
    if not draws:
        return "no gallery with half of the classes has both queries to find and queries to refuse"
    return OpenSet(
        dir=tuple(_mean([draw.at(far) for draw in draws]) for far in FARS),
        curve=curve([_mean([draw.at(far) for draw in draws]) for far in GRID]),
        draws=len(draws),
        left_out=_left_out(deal),
        known=round(float(np.mean([draw.known for draw in draws]))),
        unknown=round(float(np.mean([len(draw.alarms) for draw in draws]))),
    )


def _left_out(deal: Deal) -> float:
    return deal.parts // 2 / deal.parts


def _mean(points: Sequence[AtFar]) -> AtFar:
    """Of the same rate in several draws; none where one of them has none."""
    rates = _known([point.rate for point in points])
    thresholds = _known([point.threshold for point in points])
    if rates is None:
        return AtFar(far=points[0].far, rate=None)
    return AtFar(
        far=points[0].far,
        rate=float(rates.mean()),
        threshold=None if thresholds is None else float(thresholds.mean()),
        std=float(rates.std(ddof=1)) if len(points) > 1 else None,
    )


def _known(values: Sequence[float | None]) -> Figures | None:
    known = [value for value in values if value is not None]
    return np.array(known) if len(known) == len(values) else None
