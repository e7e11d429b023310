"""Vectors as a model gives them: each learner's part has its length."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from bier.errors import ImageError


@dataclass
class Vectors:
    """What a model makes of a manifest, as `evaluate_manifest` takes it."""

    learners: list[Tensor]
    features: Tensor | None
    index: np.ndarray
    failed: list[ImageError] = field(default_factory=list)


def fitted(drawn, info):
    """(n, D) numbers as retrieval vectors of an index's model, float32."""
    parts = np.split(np.asarray(drawn, dtype=np.float64), np.cumsum(info.sizes)[:-1], axis=1)
    scaled = [
        scale * part / np.linalg.norm(part, axis=1, keepdims=True)
        for part, scale in zip(parts, info.scales, strict=True)
    ]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def numbered(number, count, info):
    """The same vector ``count`` times, another for each number."""
    drawn = np.random.default_rng(number).standard_normal((1, info.dimensions))
    return fitted(np.tile(drawn, (count, 1)), info)


def clustered(count, seed, info):
    """(count, D) retrieval vectors around 200 centres that are always the same."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(200, info.dimensions))
    return fitted(centres[draw.integers(0, 200, count)] + 0.5 * draw.normal(size=(count, info.dimensions)), info)
