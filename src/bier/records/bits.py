"""Yes or no for each of many things, as text: bits, eight to a byte, in base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def packed(flags: Sequence[bool] | NDArray[np.bool_]) -> str:
    """As text; the last byte is filled up with no."""
    return base64.b64encode(np.packbits(np.asarray(flags, dtype=bool)).tobytes()).decode("ascii")


def unpacked(text: str) -> NDArray[np.bool_]:
    """From text, with what filled up the last byte.

    Raises:
        ValueError: it is no base64.
    """
    return np.unpackbits(np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)).astype(bool)
