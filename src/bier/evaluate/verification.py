"""Verification: is this pair of one class? ROC AUC, equal error rate, and true accept rates at false accept rates.

A pair is accepted if its score reaches a threshold. The false accept rate (FAR) is the share of wrong pairs that are
accepted, the true accept rate (TAR) that of right ones. Only scores of right pairs matter as thresholds: between two
of them the TAR stays. So all figures come from the right pairs at each score and the wrong ones above it, and they are
exact: what sorting all pairs would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bier.evaluate.engine.counts import cosines
from bier.evaluate.engine.pairs import PairCounts
from bier.evaluate.metrics import Figures, Indices
from bier.records.matching import AtFar, Verification
from bier.system.processes import Processes

FARS = (1e-2, 1e-3, 1e-4)
GRID = tuple(float(f"{digit}e-{power}") for power in range(1, 8) for digit in (10, 5, 2))
"""False alarm rates of the curves, from 1 downwards."""


@dataclass(frozen=True, eq=False)
class Roc:
    """The ROC curve at each score that a right pair has, from the highest down."""

    score: Figures
    right: Indices
    """Right pairs that score at least this."""
    wrong: Indices
    """Wrong pairs that score at least this."""
    above: Indices
    """Wrong pairs that score more."""
    wrong_pairs: int

    @staticmethod
    def of(counts: PairCounts, processes: Processes) -> Roc:
        """From the pairs at each score."""
        cells, number = counts.right.distinct(processes)
        below, equal, total = counts.wrong.beside(cells, processes)
        at_least = (total - below)[::-1]
        return Roc(cosines(cells[::-1]), np.cumsum(number[::-1]), at_least, at_least - equal[::-1], total)

    @property
    def tar(self) -> Figures:
        share: Figures = self.right / self.right[-1]
        return share

    @property
    def far(self) -> Figures:
        share: Figures = self.wrong / self.wrong_pairs
        return share

    def auc(self) -> float:
        """The chance that a right pair scores above a wrong one, ties counted half."""
        share = np.diff(self.right, prepend=0) / self.right[-1]
        return float(share @ (1 - (self.above + self.wrong) / (2 * self.wrong_pairs)))

    def equal_error_rate(self) -> float:
        """FAR where it is 1 - TAR, with straight lines between the curve's points (a tie is one line)."""
        before = np.concatenate([[0.0], self.tar[:-1]])
        far = np.stack([self.above / self.wrong_pairs, self.far], axis=1).ravel()
        tar = np.stack([before, self.tar], axis=1).ravel()
        excess = far + tar - 1  # ascends along the curve
        at = int(np.argmax(excess >= 0))
        if not at:
            return float(far[0])
        step = excess[at] - excess[at - 1]
        return float(far[at - 1] - excess[at - 1] / step * (far[at] - far[at - 1]))

    def at(self, far: float) -> AtFar:
        """The lowest threshold whose FAR is no higher; none where a single wrong pair is more than that."""
        if far * self.wrong_pairs < 1:
            return AtFar(far=far, rate=None)
        place = int(np.searchsorted(self.far, far, side="right")) - 1
        if place < 0:
            return AtFar(far=far, rate=0.0)
        return AtFar(far=far, rate=float(self.tar[place]), threshold=float(self.score[place]))


def verification(counts: PairCounts, processes: Processes) -> Verification | str:
    """The figures of one view; or why there are none."""
    roc = Roc.of(counts, processes)
    if not len(roc.right):
        return "no two pictures are of one class"
    if not roc.wrong_pairs:
        return "all pictures are of one class"
    return Verification(
        auc=roc.auc(),
        equal_error_rate=roc.equal_error_rate(),
        tar=tuple(roc.at(far) for far in FARS),
        curve=curve([roc.at(far) for far in GRID]),
        positive_pairs=int(roc.right[-1]),
        negative_pairs=roc.wrong_pairs,
    )


def curve(points: list[AtFar]) -> tuple[tuple[float, ...], ...]:
    """Those points that are known."""
    return tuple((point.far, point.rate) for point in points if point.rate is not None)
