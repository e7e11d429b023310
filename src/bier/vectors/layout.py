"""How the learners' parts lie in a vector, and whether a vector is one: each part has the length ``s_m``."""

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
    """The first part of (n, D) vectors whose length is not its learner's ``s_m``, up to `TOLERANCE`; None if all are.

    NaN and infinity are found as well.
    """
    start = 0
    for learner, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        part = vectors[:, start : start + size]
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.einsum("nd,nd->n", part, part)
            bad = np.flatnonzero(~(np.abs(np.sqrt(squares) - scale) <= TOLERANCE * scale))
        if len(bad):
            return WrongLength(int(bad[0]), learner, math.hypot(*part[bad[0]].tolist()), scale)
        start += size
    return None
