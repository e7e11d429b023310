"""Many small pictures on few sheets: much smaller than as many files, and made from pixels alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from bier.data.box import Box
from bier.data.images import read_picture
from bier.errors import ImageError

COLUMNS = 16
PER_SHEET = COLUMNS * COLUMNS
QUALITY = 72


@dataclass(frozen=True)
class Sheets:
    """JPEGs as data: URIs, and where each picture is."""

    uris: list[str]
    places: list[tuple[int, int, int, int, int] | None]
    """Sheet, left, top, width, height in pixels; None for a picture that is missing or cannot be read."""


def sheets(pictures: Sequence[tuple[str, Box | None]], side: int) -> Sheets:
    """Pictures of at most ``side`` pixels.

    Args:
        pictures: paths, or references as `bier.data.references` makes them; each with the box that alone is shown.
        side: of each.
    """
    found = Sheets([], [])
    for top in range(0, len(pictures), PER_SHEET):
        sheet = Image.new("RGB", (COLUMNS * side, COLUMNS * side), "white")
        for place, (picture, box) in enumerate(pictures[top : top + PER_SHEET]):
            corner = (place % COLUMNS * side, place // COLUMNS * side)
            small = _small(picture, box, side)
            if small is not None:
                sheet.paste(small, corner)
            found.places.append(None if small is None else (len(found.uris), *corner, *small.size))
        found.uris.append(_encoded(sheet.crop((0, 0, sheet.width, (place // COLUMNS + 1) * side))))
    return found


def _small(picture: str, box: Box | None, side: int) -> Image.Image | None:
    try:
        pixels = read_picture(picture, box)
    except (ImageError, OSError, ValueError):  # ValueError: a path that no system can have
        return None
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())  # (H, W, 3) uint8
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return image


def _encoded(sheet: Image.Image) -> str:
    buffer = io.BytesIO()
    sheet.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
