"""What a score tells: whether two pictures match, and whether a query's class is in the gallery at all."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AtFar:
    """One threshold on the score: the lowest whose false alarms stay at a rate or below."""

    far: float
    """False alarm rate, 0 to 1."""
    rate: float | None
    """What is still found above the threshold, 0 to 1; None where too few wrong ones tell a rate this low."""
    threshold: float | None = None
    """The score; None where the rate is none, or nothing is above."""
    std: float | None = None
    """Standard deviation of the rate over the draws, where there are several."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Is this pair of one class? Over all pairs of a query and a gallery picture, each pair once."""

    auc: float
    """Area under the ROC curve: the chance that a right pair scores above a wrong one, ties counted half."""
    equal_error_rate: float
    """Where as many wrong pairs are accepted as right ones refused, on the ROC curve with straight lines."""
    tar: tuple[AtFar, ...]
    """True accept rates."""
    curve: tuple[tuple[float, ...], ...]
    """(false accept rate, true accept rate), from 1 downwards."""
    positive_pairs: int
    negative_pairs: int

    @property
    def figures(self) -> dict[str, float | None]:
        """By the names that tables use."""
        values = {"ROC AUC": self.auc, "EER": self.equal_error_rate}
        return values | {f"TAR at FAR {_percent(point.far)}": point.rate for point in self.tar}


@dataclass(frozen=True, kw_only=True)
class OpenSet:
    """Is the query's class in the gallery, and is the first hit right? Means over draws of classes left out."""

    dir: tuple[AtFar, ...]
    """Detection and identification rates: known queries with a right first hit above the threshold."""
    curve: tuple[tuple[float, ...], ...]
    """(share of unknown queries above the threshold, detection and identification rate), from 1 downwards."""
    draws: int
    left_out: float
    """Share of the gallery's classes that each draw leaves out."""
    known: int
    """Queries of a draw that have something to find, on average."""
    unknown: int
    """The others."""

    @property
    def figures(self) -> dict[str, float | None]:
        """By the names that tables use."""
        return {f"DIR at FAR {_percent(point.far)}": point.rate for point in self.dir}


def _percent(share: float) -> str:
    return f"{100 * share:g} %" if math.isfinite(share) else "?"
