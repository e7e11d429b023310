"""What a picture may ask of memory, decided from its header, before any decoder makes room for it.

Is the picture too large, can so short a file hold it at all, and how many bytes will it take to decode?
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL.ImageFile import ImageFile

from bier.errors import ImageError

MAX_PIXELS = 100_000_000
"""A picture whose header announces more is refused before it is decoded."""

MAX_SIDE = 100_000
"""So is a picture with a longer side: each row costs memory of its own."""

_METADATA, _FRAMES = 16 * 2**20, 256 * 2**20
"""Bytes of a file beyond 8 for each of its pixels that are read into memory."""

_DEFLATE = 1032
_LZW = 4096
_JPEG = 1024
_RUNS = 64
"""How many bytes one compressed byte can stand for at the very most; pixels for a JPEG.

A match of deflate gives 258 bytes for 2 bits. A code of LZW has up to 12 bits and gives less than 4,096 bytes. A block
of a JPEG has 64 pixels and takes a bit or more. A run of PackBits has 128 bytes and takes two.
"""

_TIFF_RATIOS = {"raw": 1, "packbits": _RUNS, "tiff_lzw": _LZW, "tiff_deflate": _DEFLATE, "tiff_adobe_deflate": _DEFLATE}
_ARITHMETIC = (b"\xff\xc9", b"\xff\xca", b"\xff\xcb")
"""Marks of JPEGs whose blocks may take less than a bit."""


def refuse_large(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raises `ImageError` where a picture has too many pixels or too long a side."""
    if width * height > max_pixels:
        raise ImageError(f"{width} x {height} pixels are more than the limit of {max_pixels:,}", remedy=_SMALLER)
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"{width} x {height}: a side is longer than the limit of {MAX_SIDE:,} pixels", remedy=_SMALLER)


_SMALLER = "scale the picture down, or remove its row from the source"


def readable_bytes(pixels: int, *, frames: bool = False) -> int:
    """How much of a file is read into memory at most, whatever stands behind the picture, or its first frame."""
    return 8 * pixels + (_FRAMES if frames else _METADATA)


def refuse_impossible(picture: ImageFile, file: BinaryIO, size: int) -> None:
    """Raises `ImageError` where a file is too short for the picture that its header announces.

    Only what no encoder could write is refused: a blank picture compresses well.

    Args:
        picture: opened and not yet loaded.
        file: where it was opened.
        size: bytes of the file.
    """
    if _fewest_bytes(picture, file) > size and not _is_arithmetic(picture, file):
        width, height = picture.size
        raise ImageError(
            f"damaged picture (its {size:,} bytes cannot hold the {width} x {height} pixels they announce)"
        )


def _fewest_bytes(picture: ImageFile, file: BinaryIO) -> float:
    """The size of the shortest file that could hold the picture, or zero where none can be told."""
    width, height = picture.size
    if picture.format == "PNG":
        return png_fewest_bytes(_from(file, 16, 10))
    if picture.format == "GIF" and picture.tile:
        left, top, right, bottom = picture.tile[0][1] or (0, 0, 0, 0)
        return (right - left) * (bottom - top) / _LZW
    if picture.format == "TIFF":
        ratio = _TIFF_RATIOS.get(str(picture.info.get("compression")))
        bits = min(picture.tag_v2.get(258, (1,)))  # type: ignore[attr-defined]
        return width * height * bits / 8 / ratio if ratio else 0
    if picture.format in ("BMP", "DIB"):
        return width * height / 8 if picture.info.get("compression", 0) in (0, 3) else 0
    if picture.format == "PPM":
        return width * height / 8
    if picture.format in ("JPEG", "MPO"):
        return width * height / _JPEG
    return 0


def png_fewest_bytes(header: bytes) -> float:
    """The same for a PNG, from the first ten bytes of its first chunk."""
    width, height, bits, kind = struct.unpack(">IIBB", header)
    channels = {2: 3, 4: 2, 6: 4}.get(kind, 1)
    raw: int = height * ((width * bits * channels + 7) // 8)
    return raw / _DEFLATE


def _is_arithmetic(picture: ImageFile, file: BinaryIO) -> bool:
    head = _from(file, 0, file.tell()) if picture.format in ("JPEG", "MPO") else b""
    return any(mark in head for mark in _ARITHMETIC)


def _from(file: BinaryIO, offset: int, size: int) -> bytes:
    """Some bytes of a file, leaving it where it was."""
    place = file.tell()
    file.seek(offset)
    found = file.read(size)
    file.seek(place)
    return found


_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "LA": 4, "PA": 4, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""What Pillow takes for a pixel of a mode, where it is not four bytes."""

_RESULT = 3

_WORK = {"WEBP": 12, "AVIF": 12, "HEIF": 12, "JXL": 24, "JPEG2000": 16, "TIFF": 8, "ICO": 8}
"""Bytes for each pixel that decoders take beside, as measured; the others work row by row."""

PIECE = 2**22
"""Pixels that are converted at once, where a picture is more than RGB."""

_CONVERTING = 16
"""Bytes that each of them takes."""


def decoding_bytes(picture: ImageFile, size: int) -> int:
    """Bytes of memory that decoding takes at its peak, a little more rather than less.

    Args:
        picture: opened and not yet loaded.
        size: bytes of its file.
    """
    pixels = picture.width * picture.height
    each = _BYTES_PER_PIXEL.get(picture.mode, 4) + _RESULT + _WORK.get(picture.format or "", 0)
    if {"exif", "xmp"} & picture.info.keys():
        each += _RESULT  # a turned copy
    if picture.info.get("progressive"):
        each += 2 * len(picture.getbands())  # libjpeg keeps all coefficients
    piece = 0 if picture.mode == "RGB" and "icc_profile" not in picture.info else min(pixels, PIECE) * _CONVERTING
    return pixels * each + piece + min(size, readable_bytes(pixels, frames=True))
