"""Learn a calibration from pictures whose labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from bier.confidence.calibration import Calibration, Chance, Fit
from bier.confidence.cues import CUES, Values
from bier.confidence.neighbours import HITS, Neighbours

Flags = NDArray[np.bool_]
Vectors = NDArray[np.float32]

LOST = 0.05
"""Share of real queries that may be taken for strangers."""

FEWEST_CLASSES = 4
"""With two pictures or more: half of them are left out of the catalogue, to learn what strangers look like."""


def calibrate(
    queries: NDArray[np.float32],
    labels: Sequence[Any] | NDArray[Any],
    gallery: NDArray[np.float32],
    gallery_labels: Sequence[Any] | NDArray[Any],
    sizes: Sequence[int],
    *,
    itself: NDArray[np.int64] | None = None,
    strangers: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> Calibration:
    """Learn how sure answers are from labelled queries that search a labelled gallery.

    Args:
        queries: (q, D) retrieval vectors.
        labels: (q,).
        gallery: (g, D).
        gallery_labels: (g,).
        sizes: (M,), dimensions of each learner in the vectors.
        itself: (q,), the row of the gallery that is the query's own picture, -1 where there is none; it is left out.
        strangers: (s, D), vectors of pictures that are none of the gallery's kind.
        seed: decides which classes are left out.

    Raises:
        ValueError: there is too little to learn from; the text says what.
    """
    ids, codes = _numbered(labels, gallery_labels)
    classes = np.unique(codes)
    if len(classes) < FEWEST_CLASSES:
        raise ValueError(f"the catalogue has {len(classes)} classes, and {FEWEST_CLASSES} are needed")
    search = _Search(queries, gallery, codes, sizes, itself)
    whole = search.among(np.ones(len(codes), dtype=bool))
    right = whole.labels[:, 0] == ids if whole.labels is not None else np.zeros(len(ids), dtype=bool)
    half = np.isin(codes, np.random.default_rng(seed).permutation(classes)[: len(classes) // 2])
    without, known = search.among(half), np.isin(ids, codes[half])
    return Calibration({name: _fit(name, whole, right, without, known) for name in CUES_OF})


CUES_OF: dict[str, tuple[str, ...]] = {
    "all": ("top_score", "distance_to_another", "agreement"),
    "labels": ("top_score", "distance_to_another", "agreement"),
    "vectors": ("top_score",),
    "scores": ("top_score",),
}


def _fit(evidence: str, whole: Neighbours, right: Flags, half: Neighbours, known: Flags) -> Fit:
    chance = _chance(CUES_OF[evidence], half, known)
    return Fit(_chance(CUES_OF[evidence], whole, right), chance, float(np.quantile(chance.of(half)[known], LOST)))


def _chance(names: Sequence[str], found: Neighbours, true: Flags) -> Chance:
    """Logistic regression, by the greatest likelihood with a small penalty on the weights."""
    values = np.stack([CUES[name](found) for name in names], axis=1)
    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    inputs = np.column_stack([(values - mean) / spread, np.ones(len(values))])
    signs = np.where(true, 1.0, -1.0)

    def loss(weights: Values) -> tuple[float, Values]:
        margins = signs * (inputs @ weights)
        slopes = -signs * expit(-margins)
        penalty = np.append(weights[:-1], 0)
        return float(np.logaddexp(0, -margins).sum() + (penalty**2).sum() / 2), inputs.T @ slopes + penalty

    bounds = [(0, None)] * len(names) + [(None, None)]
    found_weights = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found_weights[:-1] / spread
    return Chance(float(found_weights[-1] - weights @ mean), dict(zip(names, weights.tolist(), strict=True)))


class _Search:
    """Exact search of a gallery, of which some pictures may be left out."""

    def __init__(
        self,
        queries: Vectors,
        gallery: Vectors,
        codes: NDArray[np.int64],
        sizes: Sequence[int],
        itself: NDArray[np.int64] | None,
    ) -> None:
        self.queries, self.gallery, self.codes, self.sizes = queries, gallery, codes, sizes
        self.scores = queries @ gallery.T
        if itself is not None:
            rows = np.flatnonzero(itself >= 0)
            self.scores[rows, itself[rows]] = -np.inf

    def among(self, there: Flags) -> Neighbours:
        """The first hits of each query among some pictures of the gallery."""
        rows = np.flatnonzero(there)
        scores = self.scores[:, rows]
        first = np.argsort(-scores, axis=1, kind="stable")[:, :HITS]
        found = rows[first]
        return Neighbours.of(
            np.take_along_axis(scores, first, axis=1),
            self.codes[found],
            queries=self.queries,
            hits=self.gallery[found],
            sizes=self.sizes,
        )


def _numbered(
    labels: Sequence[Any] | NDArray[Any], others: Sequence[Any] | NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    numbers: dict[Any, int] = {}
    first, second = (
        np.array([numbers.setdefault(label, len(numbers)) for label in np.asarray(given).tolist()], dtype=np.int64)
        for given in (labels, others)
    )
    return first, second
