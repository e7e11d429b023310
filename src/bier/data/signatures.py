"""What a file holds, judged by its first bytes and never by its name."""

from __future__ import annotations

START = 4096
"""How many bytes of a file `content_kind` wants to see."""

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\1\0", "ICO"),
    (8, b"CR\2\0", "a camera's raw file"),  # Canon's, before TIFF: it begins like one
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (0, b"IIRO", "a camera's raw file"),
    (0, b"IIRS", "a camera's raw file"),
    (0, b"MMOR", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"),
    (0, b"FOVb", "a camera's raw file"),
    (6, b"HEAPCCDR", "a camera's raw file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%!PS", "a PostScript drawing"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (8, b"AVI ", "a video"),
    (0, b"\0\0\1\xba", "a video"),
    (0, b"\0\0\1\xb3", "a video"),
    (4, b"moov", "a video"),
    (4, b"mdat", "a video"),
    (4, b"wide", "a video"),
    (0, b"PK\3\4", "an archive"),
    (0, b"\x1f\x8b", "an archive"),
)

_BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
    "a camera's raw file": (b"crx ",),
}
"""Names in the first box of a file of ISO media. Whatever has none of them is a video."""


def content_kind(start: bytes) -> str | None:
    """The kind of file that begins like this, in the words of `bier.data.formats`, or none that is known."""
    if start[4:8] == b"ftyp":
        return _media(start)
    for offset, magic, kind in _MAGIC:
        if start.startswith(magic, offset):
            return kind
    if start[:1] == b"P" and start[1:2] in b"0123456fy" and len(start) > 1:
        return "PPM"
    return "BMP" if _is_bare_bitmap(start) else _markup(start)


def _media(start: bytes) -> str:
    size = int.from_bytes(start[:4], "big")
    brands = [start[8:12], *(start[at : at + 4] for at in range(16, min(size, len(start)), 4))]
    for kind, names in _BRANDS.items():
        if any(brand in names for brand in brands):
            return kind
    return "a video"


def _is_bare_bitmap(start: bytes) -> bool:
    """Whether it is a bitmap without the usual header of a file: its size, one plane, a usual depth."""
    number = [int.from_bytes(start[at : at + size], "little") for at, size in ((0, 4), (12, 2), (14, 2))]
    return number[0] in (40, 52, 56, 64, 108, 124) and number[1] == 1 and number[2] in (1, 4, 8, 16, 24, 32)


def _markup(start: bytes) -> str | None:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"<"):
        return None
    return "an SVG drawing" if b"<svg" in text else "markup"
