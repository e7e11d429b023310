"""A part of a picture: left, top, width and height in pixels of the upright picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bier.errors import ImageError

Box = tuple[float, ...]

BOX_REMEDY = "give left, top, width and height in pixels of the upright picture"
LARGEST = 1e9
"""Of a number in a box; no picture is so large."""


def checked_box(box: Sequence[float] | None, name: object = None) -> Box | None:
    """A box that somebody typed or drew, ready for `read_image`; rounded to float32, as a manifest holds boxes.

    Args:
        box: as ``bbox`` in a manifest. It may reach beyond the picture; what lies inside is taken.
        name: what messages call its place.

    Raises:
        ImageError: it is not four numbers, or has no area.
    """
    if box is None:
        return None
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(_is_number, box)):
        raise ImageError(f"{str(box)[:80]} is no box", where=name, remedy=BOX_REMEDY)
    if min(box[2:]) <= 0:
        raise ImageError(f"a box of width {box[2]:g} and height {box[3]:g}", where=name, remedy=BOX_REMEDY)
    return tuple(np.asarray(box, dtype=np.float32).tolist())


def box_text(box: Box) -> str:
    """A box as indexes hold it, such as ``10,20,40,30``; `read_box` reads the same float32 numbers from it."""
    return ",".join(np.format_float_positional(np.float32(side) + 0, trim="-") for side in box)


def read_box(text: str) -> Box | None:
    """The box of such a text; None if it is none."""
    try:
        return checked_box([float(side) for side in text.split(",")])
    except (ValueError, ImageError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
