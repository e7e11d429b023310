"""Colours as a person sees them: what a picture's own ICC profile means, in sRGB.

A picture without a profile is taken as sRGB. So is one with an sRGB profile, of which there are many
variants. A profile is one of them if it moves no colour of a grid by more than two of 255.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

Converter = Callable[[Image.Image], Image.Image]
"""From a picture in the mode of its profile to an RGB picture of the same size."""

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""Modes of Pillow that a profile can speak of, with the profile's name for its colours."""

LARGEST = 4 * 2**20
"""Bytes of the largest profile that is believed; those of printing presses have 2.5 MB."""

_SAME = 2
_STEPS = np.linspace(0, 255, 12).round().astype(np.uint8)


def srgb_converter(profile: object, mode: str) -> Converter | None:
    """What turns a picture of this mode into sRGB.

    Args:
        profile: the ICC profile as it stands in the file, if there is one.
        mode: Pillow's mode: RGB, L or CMYK.

    Returns:
        none where the values are to be taken as they are: there is no profile, it is sRGB, it is damaged, or it
        speaks of other colours than the picture has.
    """
    if not isinstance(profile, bytes) or mode not in _SPACES or not 128 < len(profile) <= LARGEST:
        return None
    return _converter(profile, mode)


@lru_cache(maxsize=16)  # a camera writes the same profile into all its pictures
def _converter(profile: bytes, mode: str) -> Converter | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode].strip():
            return None
        convert = _transform(source, mode)
        return None if _changes_nothing(convert, mode) else convert
    except Exception:  # littleCMS meets damaged profiles with every kind of error
        return None


def _transform(source: ImageCms.ImageCmsProfile, mode: str) -> Converter:
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    return transform.apply


def _changes_nothing(convert: Converter, mode: str) -> bool:
    if mode not in ("RGB", "L"):
        return False
    axes = np.meshgrid(*[_STEPS] * (3 if mode == "RGB" else 1), indexing="ij")
    colours = Image.fromarray(np.stack(axes, axis=-1).reshape(1, -1, len(axes)).squeeze(-1 if mode == "L" else ()))
    plain, seen = (np.asarray(picture, dtype=int) for picture in (colours.convert("RGB"), convert(colours)))
    return bool(np.abs(plain - seen).max() <= _SAME)
