"""Which way up a picture is. Pillow's reading of it is the only one, whichever decoder gives the pixels."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

TAG = 0x0112
_TURNS: dict[object, int] = {value: value for value in range(2, 9)}
"""Looked up as Pillow does it: a fraction 6/1 is a 6, and the text "6" is none."""


def orientation(picture: Image.Image) -> int:
    """1 to 8, as `PIL.ImageOps.exif_transpose` understands it; 1 is upright, and so is what cannot be read."""
    # The standard of JPEG XL: its decoder has turned the picture, and what the EXIF block says does not count.
    if picture.format == "JXL" and not getattr(picture, "jpeg", False):
        return 1
    if picture.format in ("JPEG", "MPO") and not {"exif", "xmp"} & picture.info.keys():
        return 1
    try:
        return _TURNS.get(picture.getexif().get(TAG), 1)
    except Exception:  # damaged metadata of a sound picture
        return 1


def upright(image: Tensor, value: int) -> Tensor:
    """The pixels (3, H, W) of an orientation, turned and mirrored as a person sees them."""
    if value >= 5:
        image = image.transpose(-1, -2)
    flips = {2: [-1], 3: [-2, -1], 4: [-2], 6: [-1], 7: [-2, -1], 8: [-2]}.get(value)
    return image.flip(flips) if flips else image
