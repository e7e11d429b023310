"""How the learners' parts lie in a vector, and whether a vector is one: each part has the length ``s_m``.

Vectors of one's own, which no model cut into learners, are taken if they have the length of an ensemble's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_DIMENSIONS = 65_536
"""Of a vector: far more than anybody has, and little enough to make room for."""

TOLERANCE = 0.1
"""The share of ``s_m`` by which a length may be off. Rounding to int8 takes up to some hundredths of it."""


WHOLE_TOLERANCE = 0.05
"""The same of a whole vector, where its parts have other lengths."""


class WrongLength(NamedTuple):
    """A part of a vector that no model gave."""

    row: int
    learner: int
    """From 0."""
    length: float
    expected: float

    def __str__(self) -> str:
        return f"its learner {self.learner + 1} has the length {self.length:.4g}, not {self.expected:.4g}"


def check_layout(sizes: Any, scales: Any) -> None:
    """Refuse what cannot be the learners' dimensions and their ``s_m``, whatever it is.

    Raises:
        ValueError: with the reason.
    """
    if not isinstance(sizes, tuple) or not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(f"sizes {str(sizes)[:80]} are not dimensions of learners")
    if sum(sizes) > MOST_DIMENSIONS:
        raise ValueError(f"{sum(sizes):,} dimensions are more than {MOST_DIMENSIONS:,}")
    if not isinstance(scales, tuple) or not all(type(scale) in (int, float) and 0 <= scale < 1e6 for scale in scales):
        raise ValueError(f"scales {str(scales)[:80]} are not lengths of learners")
    if len(scales) != len(sizes):
        raise ValueError(f"{len(scales)} scales for {len(sizes)} learners")


def wrong_length(vectors: NDArray[np.float32], sizes: Sequence[int], scales: Sequence[float]) -> WrongLength | None:
    """The first part of (n, D) vectors whose length is not its learner's ``s_m``; None if all are.

    A part may be off by `TOLERANCE`. Rows that are not cut into learners pass where the whole is off by
    `WHOLE_TOLERANCE` at most. NaN and infinity are found as well.
    """
    ends = np.cumsum(sizes)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [vectors[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]
        squares = np.stack([np.einsum("nd,nd->n", part, part) for part in parts])
        off = _is_off(np.sqrt(squares), np.array(scales)[:, None], TOLERANCE)
        off &= _is_off(np.sqrt(squares.sum(0)), np.array(math.hypot(*scales)), WHOLE_TOLERANCE)
    if not off.any():
        return None
    learner, row = (int(place) for place in np.argwhere(off)[0])
    return WrongLength(row, learner, math.hypot(*parts[learner][row].tolist()), scales[learner])


def _is_off(lengths: NDArray[Any], expected: NDArray[Any], tolerance: float) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.abs(lengths - expected) <= tolerance * expected
    return ~near
