"""The size of pictures whose decoders would make room for them before it can be asked."""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL import UnidentifiedImageError
from PIL.IcoImagePlugin import IcoFile

from bier.data.limits import png_fewest_bytes
from bier.errors import ImageError

Size = tuple[int, int]


def announced_size(kind: str, file: BinaryIO) -> Size | None:
    """Width and height as the first bytes of a file announce them.

    Args:
        kind: as `bier.data.signatures` names it.
        file: read from its beginning, and left anywhere.

    Returns:
        none for kinds that Pillow opens without making room, and where nothing is announced.

    Raises:
        ImageError: an icon that is damaged.
    """
    reader = {"WebP": _webp, "JPEG XL": _jpeg_xl, "ICO": _icon}.get(kind)
    return None if reader is None else reader(file)


def _webp(file: BinaryIO) -> Size | None:
    start = file.read(30)
    if start[12:16] == b"VP8X":
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if start[12:16] == b"VP8 ":
        return int.from_bytes(start[26:28], "little") & 0x3FFF, int.from_bytes(start[28:30], "little") & 0x3FFF
    return None


def _icon(file: BinaryIO) -> Size:
    """Of the largest picture in an icon, as it stands inside; the list outside may say anything."""
    icons = IcoFile(file)
    if not icons.entry:
        raise ImageError("damaged picture (an icon without a picture)")
    entry = icons.entry[0]
    file.seek(entry.offset)
    start = file.read(26)
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = struct.unpack(">II", start[16:24])
        needed = png_fewest_bytes(start[16:26])
    else:
        width, doubled, bits = struct.unpack("<ii2xH", start[4:16])
        width, height = abs(width), abs(doubled) // 2  # the second half is the mask
        needed = width * height * bits / 8
    if needed > _size_of(file) - entry.offset:
        raise ImageError(f"damaged picture (too short for the {width} x {height} pixels that it announces)")
    return width, height


def _size_of(file: BinaryIO) -> int:
    return file.seek(0, 2)


class _Bits:
    """Numbers from a string of bits, the lowest bit of a byte first."""

    def __init__(self, content: bytes) -> None:
        self.rest = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        value = self.rest & ((1 << count) - 1)
        self.rest >>= count
        return value


_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _jpeg_xl(file: BinaryIO) -> Size | None:
    """ISO/IEC 18181-1, D.2: the height, then the width or its ratio to the height."""
    bits = _Bits(_jpeg_xl_stream(file)[2:14])
    small = bits.take(1)
    height = _jpeg_xl_side(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return _jpeg_xl_side(bits, small), height
    over, under = _RATIOS[ratio - 1]
    return height * over // under, height


def _jpeg_xl_side(bits: _Bits, small: int) -> int:
    return 8 * (bits.take(5) + 1) if small else bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


def _jpeg_xl_stream(file: BinaryIO) -> bytes:
    """The first bytes of the stream, which may stand in a box of a container."""
    start = file.read(16)
    if start[:2] == b"\xff\x0a":
        return start
    place = 0
    for _ in range(1000):
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if name in (b"jxlc", b"jxlp"):
            return file.read(16) if name == b"jxlc" else file.read(20)[4:]
        place += max(length, 8)
    raise UnidentifiedImageError("no stream in the container")
