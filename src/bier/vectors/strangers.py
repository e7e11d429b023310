"""Vectors of pictures that show nothing of any catalogue: what answers to them look like is learned and measured."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bier.confidence.strangers import strangers
from bier.vectors.encoder import PictureEncoder

STRANGERS = 600
"""At most as many as a calibration is learned from."""
_FEWEST = 100
_AT_ONCE = 50


def strangers_beside(pictures: int) -> int:
    """How many a calibration is learned from beside so many real pictures: more would only cost time."""
    return min(STRANGERS, max(_FEWEST, 2 * pictures))


def stranger_vectors(encoder: PictureEncoder, seed: int, count: int) -> Tensor:
    """Whole retrieval vectors (count, D) of the encoder, alike for a seed."""
    made = strangers(count, encoder.transform.size, seed)
    parts = []
    for start in range(0, count, _AT_ONCE):
        pixels = [torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in made[start : start + _AT_ONCE]]
        parts.append(encoder.encode([encoder.transform(image) for image in pixels]))
    return torch.cat(parts)
