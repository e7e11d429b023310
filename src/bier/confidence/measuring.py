"""How good a calibration is on classes that it was not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bier.confidence.calibration import Calibration
from bier.confidence.cues import Values
from bier.confidence.figures import Bin, area_under_curve, calibration_error, reliability
from bier.confidence.searching import Answers, Codes, Flags, Search, Vectors, halves
from bier.confidence.shared import SharedLabels


@dataclass(frozen=True)
class Quality:
    """Of one chance."""

    auc: float | None
    error: float
    """Expected calibration error."""
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, chances: Values, true: Flags) -> Quality:
        bins = reliability(chances, true)
        return cls(area_under_curve(chances, true), calibration_error(bins), tuple(bins))


@dataclass(frozen=True)
class Measured:
    """Of the chances of one kind of evidence."""

    right: Quality
    """The first hit is right; every query's class is in the catalogue."""
    known: Quality
    """The class is in the catalogue; half of the classes are left out, each draw with its own half."""
    lost: float
    """Share of queries that are refused although their class is in the catalogue."""


def measure(
    calibration: Calibration,
    queries: Vectors,
    ids: Codes,
    gallery: Vectors,
    codes: Codes,
    itself: Codes,
    *,
    evidence: str = "all",
    seed: int = 0,
    shared: SharedLabels | None = None,
) -> Measured:
    """Judge the answers of labelled queries.

    Args:
        calibration: learned from other pictures.
        queries: (q, D).
        ids: (q,), codes of the classes.
        gallery: (g, D).
        codes: (g,).
        itself: (q,), the row of the gallery that is the query's own picture, -1 where there is none.
        evidence: what is at hand.
        seed: decides which classes are left out.
        shared: which codes share a label, where pictures have several.
    """
    search = Search(queries, ids, itself, ids >= 0, gallery, codes, calibration.sizes, shared)
    return judged(calibration, *whole_and_half(search, calibration, seed), evidence)


def whole_and_half(search: Search, calibration: Calibration, seed: int) -> tuple[Answers, Answers]:
    """Answers of the whole gallery, and of draws of it without half of the queries' classes."""
    every = np.ones(len(search.codes), dtype=bool)
    some = halves(search.codes, np.unique(search.ids), np.random.default_rng(seed), search.shared)
    return search.answers([every], calibration.direction), search.answers(some, calibration.direction)


def judged(calibration: Calibration, whole: Answers, half: Answers, evidence: str) -> Measured:
    """The figures of answers: of the whole catalogue, and with half of the classes."""
    fit = calibration.fits[evidence]
    confidence, known = fit.chances(whole.cues)
    return Measured(
        Quality.of(confidence[whole.known], whole.right[whole.known]),
        Quality.of(fit.chances(half.cues)[1], half.known),
        float((known[whole.known] < fit.known_at).mean()),
    )
