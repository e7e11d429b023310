"""Grey values of more than 8 bits, as 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_FORMAT = 258, 262, 339
_WHITE_IS_ZERO = 0
_INFINITE = 1e6
"""Stands for infinity: white in every range, and still finite when it is multiplied."""


@dataclass(frozen=True)
class GreyScale:
    """How the values of one picture become 0..255.

    Args:
        factor: by which they are multiplied.
        unsigned: whether integers of 32 bits that look negative are the larger half.
        inverted: whether white is zero.
    """

    factor: float
    unsigned: bool = False
    inverted: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """uint8 of the same shape."""
        if values.dtype.kind == "f":
            values = np.nan_to_num(values, posinf=_INFINITE, neginf=0)
        elif self.unsigned:
            values = values.view(np.uint32)
        grey = np.rint(values * self.factor).clip(0, 255).astype(np.uint8)
        return 255 - grey if self.inverted else grey


def is_deep(picture: Image.Image) -> bool:
    """Whether it holds integers of more than 8 bits, or floats."""
    return picture.mode.startswith(("I", "F"))


def grey_scale(picture: Image.Image, parts: Iterable[np.ndarray]) -> GreyScale:
    """How to scale a deep picture, from what its header says and, where that is silent, from its largest value.

    Args:
        picture: a picture for which `is_deep` holds.
        parts: all its values, piece by piece; looked at only where the largest decides.
    """
    tags = getattr(picture, "tag_v2", {})
    inverted = tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO
    if picture.mode.startswith("I;16"):
        twelve = tags.get(_TIFF_BITS) == (12,)
        return GreyScale(255 / 4095 if twelve else 1 / 257, inverted=inverted)
    unsigned = picture.mode == "I" and _TIFF_BITS in tags and tags.get(_TIFF_FORMAT, (1,)) == (1,)
    largest = max(_largest(part.view(np.uint32) if unsigned else part) for part in parts)
    factor = _float_factor(largest) if picture.mode == "F" else _integer_factor(largest, 32 if unsigned else 31)
    return GreyScale(factor, unsigned, inverted)


def _largest(values: np.ndarray) -> float:
    finite: bool | np.ndarray = np.isfinite(values) if values.dtype.kind == "f" else True
    return float(values.max(initial=0, where=finite))


def _float_factor(largest: float) -> float:
    """Floats stand in 0..1, in 0..255 (where sharpening may have gone beyond) or in 0..65535."""
    if largest <= 1:
        return 255.0
    return 1.0 if largest < 512 else 1 / 257


def _integer_factor(largest: float, bits: int) -> float:
    """Integers hold 8 bits, 16 bits or all that they can."""
    if largest <= 255:
        return 1.0
    return 1 / 257 if largest <= 65_535 else 255 / (2**bits - 1)
