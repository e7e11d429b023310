"""Twelve small pictures of four classes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

CLASSES = ("boot", "hat", "shoe 2", "shoe 10")
NAMES = [f"{label}/{number}.png" for label in CLASSES for number in (1, 2, 10)]
"""In natural order."""


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    random = np.random.default_rng(number)
    Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


CONTENT = {name: png(number) for number, name in enumerate(NAMES)}
