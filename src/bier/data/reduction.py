"""Large JPEGs are decoded at a half, a quarter or an eighth of their size, where a view needs no more.

A JPEG stores blocks of 8 x 8 pixels as frequencies. Leaving out the high ones gives a smaller picture, and saves most
of the decoder's work.
"""

from __future__ import annotations

from typing import Protocol

from PIL.ImageFile import ImageFile

ENOUGH = 2
"""How many times the wanted pixels a reduced picture has at least, so that resizing still averages over several."""


class View(Protocol):
    """What is made of a picture, such as `bier.data.TestTransform`."""

    def shrinks(self, height: int, width: int) -> float:
        """By what factor it makes pixels of such a picture fewer, along a side, at least."""
        ...


def reduction(factor: float) -> int:
    """1, 2, 4 or 8: by how much a picture may be reduced that is made smaller by a factor anyway."""
    return next(scale for scale in (8, 4, 2, 1) if scale == 1 or factor >= ENOUGH * scale)


def reduce(picture: ImageFile, view: View) -> bool:
    """Have a JPEG, whose pixels are not read yet, decoded smaller if the view allows it; tells whether it will be."""
    width, height = picture.size
    scale = reduction(view.shrinks(height, width))
    if picture.format not in ("JPEG", "MPO") or scale == 1:
        return False
    picture.draft(None, (width // scale, height // scale))  # None keeps the mode
    return picture.size != (width, height)
