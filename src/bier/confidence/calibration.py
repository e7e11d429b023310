"""From the neighbours of an answer to the chance that it is right, and that its class is in the catalogue at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bier.confidence.cues import CUES
from bier.confidence.neighbours import Neighbours
from bier.system.json_values import Check, number, record

LARGEST = 1e6
"""Of any number in a calibration, either way."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """Of q answers."""

    confidence: NDArray[np.float64]
    """(q,), the chance that the first hit is right, 0 to 1."""
    known: NDArray[np.float64]
    """(q,), the chance that the query's class is in the catalogue, 0 to 1."""
    absent: NDArray[np.bool_]
    """(q,), True: probably not in this catalogue."""


@dataclass(frozen=True)
class Chance:
    """``1 / (1 + exp(-(bias + sum of weight * cue)))``: a chance, from cues."""

    bias: float
    weights: Mapping[str, float]
    """Of each cue by its name."""

    def of(self, found: Neighbours) -> NDArray[np.float64]:
        """(q,), 0 to 1."""
        total = np.full(len(found), self.bias)
        for name, weight in self.weights.items():
            total += weight * CUES[name](found)
        return 1 / (1 + np.exp(-np.clip(total, -50, 50)))


@dataclass(frozen=True)
class Fit:
    """What was learned for one kind of evidence."""

    right: Chance
    known: Chance
    known_at: float
    """Below this chance of being known an answer is "probably not in this catalogue": 5 % of real queries are lost."""


@dataclass(frozen=True)
class Calibration:
    """Judges answers. It is learned once, and kept with the model."""

    fits: Mapping[str, Fit]
    """By evidence: ``all`` (labels and vectors of the hits), ``labels``, ``vectors``, ``scores``."""

    def judge(self, found: Neighbours) -> Judgement:
        """How sure the answers are. Answers without a hit have the chance 0."""
        fit = self.fit_for(found)
        none = np.zeros(len(found), dtype=bool) if found.scores.shape[1] else np.ones(len(found), dtype=bool)
        if found.scores.shape[1]:
            none = np.isnan(found.scores[:, 0])
        if none.all():
            return Judgement(np.zeros(len(found)), np.zeros(len(found)), none)
        confidence = np.where(none, 0, fit.right.of(found))
        known = np.where(none, 0, fit.known.of(found))
        return Judgement(confidence, known, known < fit.known_at)

    @property
    def known_at(self) -> float:
        """Below it an answer is "probably not in this catalogue", with labels and vectors at hand."""
        return self.fits["all"].known_at

    def fit_for(self, found: Neighbours) -> Fit:
        """The fit for what is at hand."""
        labels = found.labels is not None
        vectors = found.learner_scores is not None
        return self.fits["all" if labels and vectors else "labels" if labels else "vectors" if vectors else "scores"]

    def to_json(self) -> dict[str, Any]:
        """Numbers and names alone, for `from_json`."""
        return {
            name: {"right": _chance(fit.right), "known": _chance(fit.known), "known_at": fit.known_at}
            for name, fit in self.fits.items()
        }

    @classmethod
    def from_json(cls, value: Any, at: str = "calibration") -> Calibration:
        """What `to_json` gave.

        Raises:
            ValueError: it does not fit; the text says where and why.
        """
        checked = CALIBRATION(value, at)
        return cls(
            {
                name: Fit(Chance(**fit["right"]), Chance(**fit["known"]), fit["known_at"])
                for name, fit in checked.items()
            }
        )


def _chance(chance: Chance) -> dict[str, Any]:
    return {"bias": chance.bias, "weights": dict(chance.weights)}


_NUMBER = number(-LARGEST, LARGEST)
_CHANCE = record({"bias": _NUMBER, "weights": record({}, optional=dict.fromkeys(CUES, _NUMBER))})
_FIT = record({"right": _CHANCE, "known": _CHANCE, "known_at": number(0, 1)})
CALIBRATION: Check = record(dict.fromkeys(("all", "labels", "vectors", "scores"), _FIT))
"""Of a calibration as JSON: in a model file, an export, an index."""
