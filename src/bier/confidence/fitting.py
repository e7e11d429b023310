"""Learn a calibration from pictures whose labels are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from bier.confidence.calibration import Calibration, Chance, Fit
from bier.confidence.cues import EVIDENCE, LIKENESS, Values, within_reach
from bier.confidence.searching import Answers, Codes, Flags, Search, Vectors, counts, halves
from bier.confidence.shared import SharedLabels

FEWEST_CLASSES = 4
"""With two pictures or more: half of them are left out of the catalogue, to learn what their absence looks like."""
MOST_QUERIES = 2000
"""Drawn at random from more."""
LOST = 0.05
"""Share of real queries that may be taken for strangers."""
FEW_STRANGERS = 0.1
"""What they weigh beside real queries where they cannot be told apart by `LIKENESS`; otherwise as much as these."""
MOST_GALLERY = 10_000
"""Pictures from which the direction to strangers is learned."""
RIDGE = 0.01
"""Of the mean variance, added to each: no direction is thought to be without noise."""
CERTAIN = 50.0
"""Bias of a chance of 1."""
_LITTLE = 1e-9

REAL = ("top_score", "fall", "learners_overlap", LIKENESS)
RIGHT = {
    "all": ("lead", "learners_agree", "belongs"),
    "labels": ("lead", "share", "fall"),
    "vectors": ("fall", "learners_overlap", "belongs_near"),
    "scores": ("top_score", "fall"),
}
THERE = {
    "all": ("top_score", "share", "belongs"),
    "labels": ("top_score", "share", "fall"),
    "vectors": ("top_score", "fall", "belongs_near"),
    "scores": ("top_score", "fall"),
}
"""The cues of each chance, by evidence; those of `REAL` as far as they are within reach."""


def calibrate(
    queries: Vectors,
    labels: Sequence[Any] | NDArray[Any],
    gallery: Vectors,
    gallery_labels: Sequence[Any] | NDArray[Any],
    sizes: Sequence[int],
    *,
    itself: Codes | None = None,
    strangers: Vectors | None = None,
    alone: bool = False,
    seed: int = 0,
    separator: str | None = None,
) -> Calibration:
    """Learn how sure answers are from labelled queries that search a labelled gallery.

    The gallery is searched whole, and with half of the queries' classes left out.

    Args:
        queries: (q, D) retrieval vectors.
        labels: (q,).
        gallery: (g, D).
        gallery_labels: (g,).
        sizes: (M,), dimensions of each learner in the vectors.
        itself: (q,), the row of the gallery that is the query's own picture, -1 where there is none; it is left out.
        strangers: (s, D), vectors of pictures that are none of the gallery's kind.
        alone: search the queries' own classes without the others as well, so that a smaller catalogue is seen too.
        seed: decides which classes are left out.
        separator: what stands between the labels of a picture, which are texts then; a hit is right if it shares one.

    Raises:
        ValueError: there is too little to learn from; the text says what.
    """
    random = np.random.default_rng(seed)
    ids, codes, names = _numbered(labels, gallery_labels)
    shared = None if separator is None else SharedLabels(names, separator)
    itself = np.full(len(ids), -1) if itself is None else itself
    known = counts(ids, codes, shared) > (codes[itself] == ids) * (itself >= 0)
    classes = np.unique(ids[known])
    if len(classes) < FEWEST_CLASSES:
        raise ValueError(f"{len(classes)} classes have another picture to find, and {FEWEST_CLASSES} are needed")
    rows = np.sort(random.permutation(np.flatnonzero(known))[:MOST_QUERIES])
    seen = random.permutation(len(codes))[: min(len(codes) // 2, MOST_GALLERY)]
    fresh = ~np.isin(itself[rows], seen)
    search = Search(queries[rows], ids[rows], itself[rows], fresh, gallery, codes, tuple(sizes), shared)
    own = np.isin(codes, classes)
    catalogues = [np.ones(len(codes), dtype=bool), *([own] if alone and not own.all() else [])]
    without = halves(codes, classes, random, shared)
    smaller = [catalogue & some for catalogue in catalogues for some in without]
    direction, foreign = None, None
    if strangers is not None:
        direction = _direction(gallery[np.sort(seen)], strangers[::2])
        foreign = search.by(strangers[1::2]).answers(catalogues, direction)
    whole, half = search.answers(catalogues, direction), search.answers(smaller, direction)
    fits = {evidence: _fit(evidence, whole, half, foreign) for evidence in EVIDENCE}
    return Calibration(tuple(sizes), fits, direction, separator)


def _fit(evidence: str, whole: Answers, half: Answers, foreign: Answers | None) -> Fit:
    reach = within_reach(evidence, foreign is not None)
    real = Chance(CERTAIN, {})
    if foreign is not None:
        real = _real([name for name in REAL if name in reach], whole, half, foreign)
    right = _chance(RIGHT[evidence], whole.cues, whole.right)
    there = _chance(THERE[evidence], half.cues, half.known)
    fit = Fit(real, right, there, known_at=0)
    return replace(fit, known_at=float(np.quantile(fit.chances(whole.cues)[1], LOST)))


def _real(names: Sequence[str], whole: Answers, half: Answers, foreign: Answers) -> Chance:
    """Real queries, known or not, against strangers."""
    parts = (whole, half, foreign)
    true = np.concatenate([np.full(part.fresh.sum(), part is not foreign) for part in parts])
    joined = {name: np.concatenate([part.cues[name][part.fresh] for part in parts]) for name in names}
    share = 1 if LIKENESS in names else FEW_STRANGERS
    return _chance(names, joined, true, np.where(true, 1.0, share * true.sum() / max(1, (~true).sum())))


def _chance(names: Sequence[str], table: Mapping[str, Values], true: Flags, each: Values | None = None) -> Chance:
    """Logistic regression: the greatest likelihood, with a small penalty on weights, none of which is negative.

    Args:
        names: of the cues.
        table: their values, (n,) of each.
        true: (n,), what is to be told.
        each: (n,), how much an answer weighs; all alike by default.
    """
    values = np.stack([table[name] for name in names], axis=1)
    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), _LITTLE)
    inputs = np.column_stack([(values - mean) / spread, np.ones(len(values))])
    signs, each = np.where(true, 1.0, -1.0), np.ones(len(values)) if each is None else each

    def loss(weights: Values) -> tuple[float, Values]:
        margins, penalty = signs * (inputs @ weights), np.append(weights[:-1], weights[-1] / 100)
        slope = inputs.T @ (-each * signs * expit(-margins))
        return float(each @ np.logaddexp(0, -margins) + penalty @ weights / 2), slope + penalty

    bounds = [(0, None)] * len(names) + [(None, None)]
    found = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found[:-1] / spread
    return Chance(float(found[-1] - weights @ mean), dict(zip(names, weights.tolist(), strict=True)))


def _direction(real: Vectors, strangers: Vectors) -> Values:
    """(D,), Fisher's linear discriminant: real vectors lie high along it, strangers low."""
    first, second = real.astype(np.float64), strangers.astype(np.float64)
    scatter = (np.cov(first.T) + np.cov(second.T)) / 2
    ridge = RIDGE * np.trace(scatter) / len(scatter) + _LITTLE
    found = np.linalg.solve(scatter + ridge * np.eye(len(scatter)), first.mean(axis=0) - second.mean(axis=0))
    return np.asarray(found / np.linalg.norm(found))


def _numbered(
    labels: Sequence[Any] | NDArray[Any], others: Sequence[Any] | NDArray[Any]
) -> tuple[Codes, Codes, list[Any]]:
    numbers: dict[Any, int] = {}
    ids, codes = (
        np.array([numbers.setdefault(label, len(numbers)) for label in np.asarray(given).tolist()], dtype=np.int64)
        for given in (labels, others)
    )
    return ids, codes, list(numbers)
