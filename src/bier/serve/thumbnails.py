"""Pictures for the page, made from pixels alone: upright, and without place, camera or owner."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path

from PIL import Image
from torch import Tensor

from bier.data.box import Box
from bier.data.references import is_reference, located, picture_bytes
from bier.serve.decoding import Decoder

SIDES = {"320": 320, "960": 960, "full": 16_384}
"""Longest side in pixels: in the grid, looked at closely, and as it is; browsers show no larger ones."""
QUALITY = 82
_OF_ALL_KEPT = 1 / 16
"""What one picture may take of the memory: a few whole photographs would drive out all the small ones."""


class Thumbnails:
    """JPEGs of pictures, the most recently used kept in memory up to `most_bytes`."""

    def __init__(self, most_bytes: int, decoder: Decoder) -> None:
        self._most_bytes, self._decoder = most_bytes, decoder
        self._kept: OrderedDict[tuple[str, int, Box | None], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def kept(self, image: str, side: int, box: Box | None = None) -> bytes | None:
        with self._lock:
            if (image, side, box) not in self._kept:
                return None
            self._kept.move_to_end((image, side, box))
            return self._kept[image, side, box]

    def make(self, image: str, side: int, box: Box | None = None) -> bytes:
        """Of a picture, or of a box in it; raises `ImageError` if it is missing or cannot be read."""
        content = thumbnail(image, side, self._decoder, box)
        if len(content) > _OF_ALL_KEPT * self._most_bytes:
            return content
        with self._lock:
            self._bytes += len(content) - len(self._kept.pop((image, side, box), b""))
            self._kept[image, side, box] = content
            while self._bytes > self._most_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped)
        return content


def thumbnail(image: str, side: int, decoder: Decoder, box: Box | None = None) -> bytes:
    # A file is not read into memory first: more may stand behind its picture.
    source = picture_bytes(image) if is_reference(image) else located(Path(image))
    return decoder.read(source, partial(jpeg, side=side), image, box=box)


def jpeg(pixels: Tensor, side: int, quality: int = QUALITY) -> bytes:
    """Pixels uint8 (3, H, W) as a JPEG whose longer side is at most `side`."""
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())  # (H, W, 3) uint8
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
