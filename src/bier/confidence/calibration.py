"""From the neighbours of an answer to the chance that it is right, and that its class is in the catalogue at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bier.confidence.cues import CUES, EVIDENCE, LIKENESS, Values, cues, within_reach
from bier.confidence.neighbours import Neighbours
from bier.system.json_values import Check, list_of, number, record, text, whole

LARGEST = 1e9
"""Of any number in a calibration, either way."""
MOST_DIMENSIONS, MOST_LEARNERS = 1_000_000, 1024
"""Of a model, as in its own description."""


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
    """``1 / (1 + exp(-(bias + sum of weight * cue)))``: a chance, from cues. No weight is negative."""

    bias: float
    weights: Mapping[str, float]
    """Of each cue by its name."""

    def of(self, values: Mapping[str, Values]) -> Values:
        """(q,), 0 to 1, of the cues of q answers."""
        total = self.bias + sum((weight * values[name] for name, weight in self.weights.items()), np.float64(0))
        return np.asarray(1 / (1 + np.exp(-np.clip(total, -50, 50))), dtype=np.float64)


@dataclass(frozen=True)
class Fit:
    """What was learned for one kind of evidence."""

    real: Chance
    """That the query is a picture of the catalogue's kind, neither blank nor of something else."""
    right: Chance
    """That the first hit is right, of a real query whose class is in the catalogue."""
    there: Chance
    """That the class of a real query is in the catalogue."""
    known_at: float
    """Below this chance of being known an answer is "probably not in this catalogue": 5 % of real queries are lost."""

    @property
    def cues(self) -> set[str]:
        return {*self.real.weights, *self.right.weights, *self.there.weights}

    def chances(self, values: Mapping[str, Values]) -> tuple[Values, Values]:
        """That the first hit is right, and that the class is in the catalogue, each (q,)."""
        real = self.real.of(values)
        return real * self.right.of(values), real * self.there.of(values)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Judges answers. It is learned once, and kept with the model."""

    sizes: tuple[int, ...]
    """Dimensions of each learner in the vectors that it was learned from. It holds for no others."""
    fits: Mapping[str, Fit]
    """For each kind of `EVIDENCE`."""
    direction: Values | None = None
    """(D,), along which real pictures lie above strangers; None: it was learned without strangers."""
    separator: str | None = None
    """What stands between the labels of a picture, of which one is to be shared; None: each has one."""

    def judge(self, found: Neighbours) -> Judgement:
        """How sure the answers are. Answers without a hit have the chance 0."""
        none = np.isnan(found.scores[:, 0]) if found.scores.shape[1] else np.ones(len(found), dtype=bool)
        confidence, known = np.zeros(len(found)), np.zeros(len(found))
        fit = self.fit_for(found)
        if not none.all():
            some = found.take(~none)
            confidence[~none], known[~none] = fit.chances(cues(some, fit.cues, self.direction))
        return Judgement(confidence, known, known < fit.known_at)

    @property
    def known_at(self) -> float:
        """Below it an answer is "probably not in this catalogue", with labels and vectors at hand."""
        return self.fits["all"].known_at

    def fit_for(self, found: Neighbours) -> Fit:
        """The fit for what is at hand."""
        labels, vectors = found.labels is not None, found.learner_scores is not None
        return self.fits["all" if labels and vectors else "labels" if labels else "vectors" if vectors else "scores"]

    def to_json(self) -> dict[str, Any]:
        """Numbers and names alone, for `from_json`."""
        direction = None if self.direction is None else self.direction.tolist()
        fits = {name: _as_json(fit) for name, fit in self.fits.items()}
        optional = {"direction": direction, "separator": self.separator}
        there = {name: value for name, value in optional.items() if value is not None}
        return {"sizes": list(self.sizes), "fits": fits, **there}

    @classmethod
    def from_json(cls, value: Any, at: str = "calibration") -> Calibration:
        """What `to_json` gave.

        Raises:
            ValueError: it does not fit; the text says where and why.
        """
        checked = check_calibration(value, at)
        fits = {
            name: Fit(Chance(**fit["real"]), Chance(**fit["right"]), Chance(**fit["there"]), fit["known_at"])
            for name, fit in checked["fits"].items()
        }
        direction = checked.get("direction")
        direction = None if direction is None else np.array(direction)
        return cls(tuple(checked["sizes"]), fits, direction, checked.get("separator"))


def check_calibration(value: Any, at: str) -> dict[str, Any]:
    """A calibration as JSON, every number within bounds: in a model file, an export, an index.

    Raises:
        ValueError: it does not fit; the text says where and why.
    """
    checked: dict[str, Any] = _CALIBRATION(value, at)
    direction = checked.get("direction")
    if direction is not None and len(direction) != sum(checked["sizes"]):
        raise ValueError(
            f"'{at}.direction' has {len(direction):,} numbers, and 'sizes' sum to {sum(checked['sizes']):,}"
        )
    for name, fit in checked["fits"].items():
        asked = {cue for part in ("real", "right", "there") for cue in fit[part]["weights"]}
        if lacking := asked - set(within_reach(name, direction is not None)):
            raise ValueError(f"'{at}.fits.{name}' cannot know {', '.join(sorted(lacking))}")
    return checked


def _as_json(fit: Fit) -> dict[str, Any]:
    chances = {"real": fit.real, "right": fit.right, "there": fit.there}
    parts = {name: {"bias": chance.bias, "weights": dict(chance.weights)} for name, chance in chances.items()}
    return {**parts, "known_at": fit.known_at}


_NUMBER = number(-LARGEST, LARGEST)
_CHANCE = record(
    {"bias": _NUMBER, "weights": record({}, optional=dict.fromkeys((*CUES, LIKENESS), number(0, LARGEST)))}
)
_FIT = record({"real": _CHANCE, "right": _CHANCE, "there": _CHANCE, "known_at": number(0, 1)})
_CALIBRATION: Check = record(
    {
        "sizes": list_of(whole(1, MOST_DIMENSIONS), 1, MOST_LEARNERS),
        "fits": record(dict.fromkeys(EVIDENCE, _FIT)),
    },
    optional={"direction": list_of(_NUMBER, 1, MOST_DIMENSIONS), "separator": text(100)},
)
