"""Cues of an answer: numbers that tell a right first hit from a wrong one, and a known picture from a stranger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bier.confidence.neighbours import NO_LABEL, Neighbours

Values = NDArray[np.float64]
Cue = Callable[[Neighbours], Values]
Evidence = Literal["all", "labels", "vectors", "scores"]
"""What is at hand: labels and vectors of the hits, one of both, or scores alone."""


def top_score(found: Neighbours) -> Values:
    """The score of the first hit."""
    return found.scores[:, 0].astype(np.float64)


def distance_to_another(found: Neighbours) -> Values:
    """By how much the first hit's score exceeds that of the best hit with another label."""
    assert found.labels is not None
    others = np.where(found.labels == found.labels[:, :1], np.nan, found.scores)
    lowest = np.fmin.reduce(found.scores, axis=1)
    best = np.fmax.reduce(others, axis=1)
    return (found.scores[:, 0] - np.where(np.isnan(best), lowest, best)).astype(np.float64)


def agreement(found: Neighbours) -> Values:
    """Share of the first ten hits with the first one's label."""
    assert found.labels is not None
    labels = found.labels[:, :10]
    return ((labels == labels[:, :1]) & (labels != NO_LABEL)).mean(axis=1)


CUES: Mapping[str, Cue] = {cue.__name__: cue for cue in (top_score, distance_to_another, agreement)}
