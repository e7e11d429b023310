"""What kind of picture a file holds, by its first bytes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from stat import S_ISREG

from bier.data.formats import kind_is_readable

LENGTH = 32
"""So many bytes are enough to know a kind."""

_STARTS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WebP": rb"RIFF....WEBP",
    "BMP": rb"BM....\0\0\0\0",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "AVIF": rb"....ftyp(avif|avis)",
    "HEIC": rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)",
    "JPEG 2000": rb"\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL \r\n|\xff\x0a",
    "PPM": rb"P[1-6]\s+[\d#]",
}
_PATTERNS = {kind: re.compile(pattern, re.DOTALL) for kind, pattern in _STARTS.items()}


def kind_of_content(start: bytes) -> str | None:
    """The kind of picture that begins with these bytes, as `bier.data.formats` calls it, or none."""
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.match(start)), None)


def is_readable_content(start: bytes) -> bool:
    """Whether these are the first bytes of a picture that can be read here."""
    kind = kind_of_content(start)
    return kind is not None and kind_is_readable(kind)


def first_bytes(file: Path) -> bytes:
    """The start of a file; nothing where there is no such file, or where it might never end."""
    try:
        if not S_ISREG(os.stat(file).st_mode):
            return b""
        with open(file, "rb") as stream:
            return stream.read(LENGTH)
    except (OSError, ValueError):
        return b""
