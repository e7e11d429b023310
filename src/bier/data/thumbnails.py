"""Pictures as small JPEGs in data: URIs, made from pixels alone, so no EXIF data (place, camera, owner) gets out."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from bier.data.box import Box
from bier.data.images import read_picture
from bier.errors import ImageError

QUALITY = 80


class Thumbnails:
    """Thumbnails of at most `side` pixels, each picture read once."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._made: dict[tuple[str, Box | None], str | None] = {}

    def __call__(self, picture: Path | str, box: Box | None = None) -> str | None:
        """The data: URI of a picture, or of a box in it alone; None if it is missing or cannot be read.

        A picture is a path, or a reference as `bier.data.references` makes them.
        """
        key = str(picture), box
        if key not in self._made:
            try:
                self._made[key] = _encode(read_picture(*key), self.side)
            except (ImageError, OSError, ValueError):  # ValueError: a path that no system can have
                self._made[key] = None
        return self._made[key]


def _encode(pixels: Tensor, side: int) -> str:
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())  # (H, W, 3) uint8
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
