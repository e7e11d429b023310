"""Cues of an answer: numbers that tell a right first hit from a wrong one, and a known picture from a stranger.

Each is larger, the surer the answer is. A hit at the score ``s`` weighs ``exp((s - s_1) / WIDTH)``, so near ones count
more than far ones, and no number of hits has to be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bier.confidence.neighbours import NO_LABEL, Neighbours

Values = NDArray[np.float64]
Cue = Callable[[Neighbours], Values]

WIDTH = 0.05
"""Difference of scores over which a hit's weight falls to 1 / e."""
NEAR = 10
"""First hits of each learner, whose labels are compared."""
_LITTLE = 1e-3


def top_score(found: Neighbours) -> Values:
    """The score of the first hit."""
    return np.asarray(found.scores[:, 0], dtype=np.float64)


def fall(found: Neighbours) -> Values:
    """By how much scores fall from the first hit to the last that is looked at."""
    lowest = np.fmin.reduce(found.scores, axis=1)
    return np.asarray(found.scores[:, 0] - lowest, dtype=np.float64)


def lead(found: Neighbours) -> Values:
    """Logarithm of the weight of hits with the first one's label, over that of the next best label."""
    weights, same = _weights(found), _same_label(found)
    of_label = np.einsum("qk,qjk->qj", weights, same)
    others = np.where(same[:, 0], 0, of_label).max(axis=1)
    return np.asarray(np.log(of_label[:, 0] + _LITTLE) - np.log(others + _LITTLE))


def share(found: Neighbours) -> Values:
    """Share of all weight that hits with the first one's label have."""
    weights = _weights(found)
    of_label = (weights * _same_label(found)[:, 0]).sum(axis=1)
    return np.asarray(of_label / weights.sum(axis=1))


def learners_agree(found: Neighbours) -> Values:
    """Share of the hits nearest to each learner that have the first hit's label."""
    near, same = _near_learners(found), _same_label(found)[:, 0]
    return np.asarray(np.take_along_axis(same[:, :, None], near, axis=1).mean(axis=(1, 2)))


def learners_overlap(found: Neighbours) -> Values:
    """Share of the hits nearest to each learner that are nearest to the whole embedding as well."""
    near = _near_learners(found)
    return np.asarray((near < near.shape[1]).mean(axis=(1, 2)), dtype=np.float64)


def belongs(found: Neighbours) -> Values:
    """How near the query is to hits with the first one's label, less how near these are to one another.

    A picture of their kind is as near to them as they are to each other; a stranger stays outside.
    """
    return _belongs(found, _same_label(found)[:, 0].astype(np.float64))


def belongs_near(found: Neighbours) -> Values:
    """Likewise for the nearest hits, whatever their label."""
    return _belongs(found, _weights(found))


CUES: Mapping[str, Cue] = {
    cue.__name__: cue for cue in (top_score, fall, lead, share, learners_agree, learners_overlap, belongs, belongs_near)
}
LIKENESS = "likeness"
"""The cue that is learned: the query's vector along the direction that tells real pictures from strangers."""

EVIDENCE = ("all", "labels", "vectors", "scores")
"""What may be at hand: labels and vectors of the hits, one of both, or scores alone."""
_FROM_LABELS = {"lead", "share", "learners_agree", "belongs"}
_FROM_VECTORS = {"learners_agree", "learners_overlap", "belongs", "belongs_near", LIKENESS}


def within_reach(evidence: str, direction: bool) -> list[str]:
    """The cues that evidence of a kind can give, `LIKENESS` where its direction was learned."""
    lacking = set() if evidence in ("all", "labels") else _FROM_LABELS
    lacking = lacking if evidence in ("all", "vectors") else lacking | _FROM_VECTORS
    return [name for name in (*CUES, *([LIKENESS] if direction else [])) if name not in lacking]


def cues(found: Neighbours, names: Iterable[str], direction: Values | None) -> dict[str, Values]:
    """The named cues of q answers, each (q,)."""
    return {name: _likeness(found, direction) if name == LIKENESS else CUES[name](found) for name in names}


def _likeness(found: Neighbours, direction: Values | None) -> Values:
    assert found.queries is not None and direction is not None
    return np.asarray(found.queries @ direction, dtype=np.float64)


def _weights(found: Neighbours) -> Values:
    """(q, k), of each hit by its score; 0 where there is none."""
    return np.nan_to_num(np.exp((found.scores.astype(np.float64) - found.scores[:, :1]) / WIDTH))


def _same_label(found: Neighbours) -> NDArray[np.bool_]:
    """(q, k, k), which hits share a label; one without a label is like itself alone."""
    assert found.labels is not None
    labelled, same = found.labels != NO_LABEL, found.same
    if same is None:
        same = (found.labels[:, :, None] == found.labels[:, None]) & labelled[:, :, None]
    return np.asarray(same | np.eye(same.shape[1], dtype=bool))


def _near_learners(found: Neighbours) -> NDArray[np.int64]:
    """(q, n, M), places of the hits nearest to each learner."""
    assert found.learner_scores is not None
    scores = np.where(np.isnan(found.scores)[:, :, None], -np.inf, found.learner_scores)
    return np.argsort(-scores, axis=1, kind="stable")[:, :NEAR]


def _belongs(found: Neighbours, weights: Values) -> Values:
    """Weighted mean score of the hits, less that of their pairs; a hit alone is compared with its nearest other."""
    assert found.among is not None
    there = ~np.isnan(found.scores)
    weights = weights * there
    mean = (weights * np.nan_to_num(found.scores)).sum(axis=1) / weights.sum(axis=1)
    pairs = weights[:, :, None] * weights[:, None]
    apart = ~np.eye(weights.shape[1], dtype=bool)
    total = (pairs * apart).sum(axis=(1, 2))
    within = (pairs * apart * found.among).sum(axis=(1, 2)) / np.maximum(total, 1e-12)
    to_others = np.where(there[:, 1:], found.among[:, 0, 1:], -1).max(axis=1, initial=-1)
    return np.asarray(np.where(total > 1e-6, mean - within, found.scores[:, 0] - to_others))
