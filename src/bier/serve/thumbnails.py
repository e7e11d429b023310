"""Small pictures for the page, made from pixels alone: upright, and without place, camera or owner."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

from PIL import Image

from bier.data import read_image
from bier.data.references import picture_bytes

SIDES = (320, 960)
"""Longest side in pixels: in the grid, and looked at closely."""
QUALITY = 82


class Thumbnails:
    """JPEGs of pictures, the most recently used kept in memory up to `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def kept(self, image: str, side: int) -> bytes | None:
        with self._lock:
            if (image, side) not in self._kept:
                return None
            self._kept.move_to_end((image, side))
            return self._kept[image, side]

    def make(self, image: str, side: int) -> bytes:
        """Raises `ImageError` if the picture is missing or cannot be read."""
        content = thumbnail(image, side)
        with self._lock:
            self._bytes += len(content) - len(self._kept.pop((image, side), b""))
            self._kept[image, side] = content
            while self._bytes > self._most_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped)
        return content


def thumbnail(image: str, side: int) -> bytes:
    pixels = read_image(picture_bytes(image)).permute(1, 2, 0).numpy()  # (H, W, 3) uint8
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
