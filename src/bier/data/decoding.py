"""From the bytes of a picture to pixels as a person sees them: upright, in sRGB, on white where it is transparent.

The fast decoder takes what it surely shows as Pillow does. Orientation and colours are dealt with in one place, whoever
decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.ImageFile import ImageFile
from torch import Tensor

from bier.data.colour import Converter, srgb_converter
from bier.data.depth import GreyScale, grey_scale, is_deep
from bier.data.formats import kind_is_known, kind_is_readable, kind_remedy
from bier.data.headers import announced_size
from bier.data.limits import PIECE, readable_bytes, refuse_impossible, refuse_large
from bier.data.orientation import orientation, upright
from bier.data.reduction import View, reduce
from bier.data.signatures import START, content_kind
from bier.errors import ImageError

_FORMATS = {
    "AVIF": ("AVIF",),
    "BMP": ("BMP", "DIB"),
    "GIF": ("GIF",),
    "HEIC": ("HEIF",),
    "ICO": ("ICO",),
    "JPEG": ("JPEG",),
    "JPEG 2000": ("JPEG2000",),
    "JPEG XL": ("JXL",),
    "PNG": ("PNG",),
    "PPM": ("PPM",),
    "TIFF": ("TIFF",),
    "WebP": ("WEBP",),
}
"""Pillow's names of what is read. No format with scripts is among them: Pillow would run Ghostscript on EPS."""

_WHOLE = ("AVIF", "HEIC", "JPEG XL", "WebP")
"""Kinds that are read into memory to the end of their file."""


class Opened(NamedTuple):
    """A picture whose header was read and whose pixels were not."""

    picture: ImageFile
    file: BinaryIO
    size: int
    """Bytes of the file."""


def open_picture(file: BinaryIO, max_pixels: int) -> Opened:
    """Read the header, and refuse what no memory should be given to.

    Raises:
        ImageError: of a kind that is not read here, too large, or too short for what it announces; without a place.
        Exception: whatever Pillow makes of a damaged header.
    """
    kind = _kind(file.read(START))
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    announced = announced_size(kind, file)
    if announced is not None:
        refuse_large(*announced, max_pixels)
    file.seek(0)
    if kind in _WHOLE:
        file = _into_memory(file, size, announced, max_pixels)
    picture = Image.open(file, formats=_pillow_formats(kind))
    refuse_large(*picture.size, max_pixels)
    if _is_raw(picture):
        raise _unread("a camera's raw file")
    refuse_impossible(picture, file, size)
    return Opened(picture, file, size)


def decode(opened: Opened, view: View | None = None) -> Tensor:
    """uint8 (3, H, W): upright, sRGB, opaque; smaller where a view of a JPEG does not need all pixels."""
    if view is not None and reduce(opened.picture, view):
        return _decode_slowly(opened.picture)
    decoder = decoders()
    if decoder is not None and _is_plain(opened.picture):
        try:
            return _decode_fast(decoder, opened)
        except (RuntimeError, ValueError):
            # Stricter than Pillow about slightly damaged files, which a person's viewer shows all the same.
            opened.file.seek(0)
            return _decode_slowly(Image.open(opened.file, formats=[opened.picture.format or ""]))
    return _decode_slowly(opened.picture)


@cache
def decoders() -> ModuleType | None:
    """torchcodec, twice as fast as Pillow, or ``None`` where it is not installed or its libraries do not load."""
    try:
        from torchcodec import decoders as module
    except (ImportError, OSError, RuntimeError):
        return None
    return module if hasattr(module, "decode_webp") else None


def load_decoders() -> None:
    """Import now what decoding needs, such as before processes are forked."""
    Image.init(), decoders()


def _kind(start: bytes) -> str:
    """The kind of file that begins like this, if it is read here."""
    kind = content_kind(start)
    if kind is None:
        raise ImageError("not a picture in a known format" if start else "the file is empty")
    if kind == "markup":
        raise ImageError("a web page or other markup, not a picture")
    if not kind_is_readable(kind):
        raise _unread(kind)
    return kind


def _unread(kind: str) -> ImageError:
    what = f"a {kind} picture, which is not read here" if kind_is_known(kind) else f"{kind}, not a picture"
    return ImageError(what, remedy=kind_remedy(kind))


def _into_memory(file: BinaryIO, size: int, announced: tuple[int, int] | None, max_pixels: int) -> BinaryIO:
    most = readable_bytes(announced[0] * announced[1] if announced else max_pixels, frames=True)
    if size > most:
        raise ImageError(f"its {size:,} bytes are far more than such a picture needs")
    return io.BytesIO(file.read()) if not isinstance(file, io.BytesIO) else file


@cache
def _pillow_formats(kind: str) -> list[str]:
    """Pillow's names for a kind, with the plugin loaded."""
    Image.init()
    if kind == "HEIC":
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    if kind == "JPEG XL":
        import pillow_jxl  # noqa: F401  # importing it is what registers it
    return [name for name in _FORMATS[kind] if name in Image.OPEN]


def _is_raw(picture: Image.Image) -> bool:
    """Whether a TIFF is a camera's raw file, of which Pillow would show the small preview."""
    tags = getattr(picture, "tag_v2", {})
    dng, subfile, others = 0xC612, 0xFE, 0x14A
    return dng in tags or (tags.get(subfile) == 1 and others in tags)


def _is_plain(picture: Image.Image) -> bool:
    """Whether the fast decoder shows the same pixels as Pillow: 8 bits, no alpha, no palette, one frame."""
    if picture.format in ("JPEG", "MPO"):
        return picture.mode == "RGB" or (picture.mode == "L" and _converter(picture) is None)
    if picture.format not in ("PNG", "WEBP") or getattr(picture, "is_animated", False):
        return False
    return picture.mode == "RGB" and not {"transparency", "exif", "xmp"} & picture.info.keys()


_NO_EXIF = b"\xff\xd8\xff\xe1\x00\x08Exif\0\0"
"""The start of a JPEG with an empty EXIF block. The fast decoder looks at the first one only, and so turns nothing."""

_TURNING = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type")
"""What a PNG may be turned by. It may stand behind the pixels, where only Pillow looks for all of it."""


def _decode_fast(decoder: ModuleType, opened: Opened) -> Tensor:
    picture, file, size = opened
    data = bytearray(min(size, readable_bytes(picture.width * picture.height)))
    file.seek(0)
    del data[file.readinto(data) :]  # type: ignore[attr-defined]
    if picture.format == "PNG":
        if any(mark in data for mark in _TURNING):
            raise ValueError("for Pillow")
        decode = decoder.decode_png
    elif picture.format == "WEBP":
        decode = decoder.decode_webp
    else:
        decode = decoder.decode_jpeg
        data[:2] = _NO_EXIF
    image: Tensor = decode(torch.frombuffer(data, dtype=torch.uint8))
    convert = _converter(picture)
    image = image if convert is None else _converted(image, convert)
    # A PNG or WebP that comes here has no orientation, and Pillow would decode a PNG to look for one.
    return upright(image, orientation(picture)) if picture.format in ("JPEG", "MPO") else image


def _converter(picture: Image.Image) -> Converter | None:
    return srgb_converter(picture.info.get("icc_profile"), picture.mode)


def _converted(image: Tensor, convert: Converter) -> Tensor:
    """Pixels (3, H, W) in sRGB, changed in their place."""
    pixels = image.permute(1, 2, 0).contiguous()  # (H, W, 3)
    values = pixels.numpy()
    for rows in _pieces(*values.shape[:2]):
        values[rows] = np.asarray(convert(Image.fromarray(values[rows])))
    return pixels.permute(2, 0, 1)


def _pieces(height: int, width: int) -> Iterator[slice]:
    """Rows that are worked on at once, so that what lies between costs the same for a picture of any size."""
    rows = max(1, PIECE // max(width, 1))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _decode_slowly(picture: Image.Image) -> Tensor:
    picture.load()
    turn = orientation(picture)  # only now: it may stand behind the pixels
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    paint = _Painter(picture)
    for rows in _pieces(height, width):
        pixels[rows] = paint(_rows(picture, rows))
    return upright(torch.from_numpy(pixels).permute(2, 0, 1), turn)


def _rows(picture: Image.Image, rows: slice) -> Image.Image:
    whole = rows.start == 0 and rows.stop == picture.height
    return picture if whole else picture.crop((0, rows.start, picture.width, rows.stop))


class _Painter:
    """What turns rows of one picture into RGB on white."""

    def __init__(self, picture: Image.Image) -> None:
        self.scale: GreyScale | None = None
        if is_deep(picture):
            parts = (np.asarray(_rows(picture, rows)) for rows in _pieces(picture.height, picture.width))
            self.scale = grey_scale(picture, parts)
        self.opaque = _says_nothing_of_alpha(picture)
        self.space = "L" if is_deep(picture) else _SPACES.get(picture.mode, "RGB")
        self.convert = srgb_converter(picture.info.get("icc_profile"), self.space)

    def __call__(self, part: Image.Image) -> np.ndarray:
        """uint8 (H, W, 3)."""
        if self.scale is not None:
            part = Image.fromarray(self.scale(np.asarray(part)))
        if self.opaque or not part.has_transparency_data:
            return np.asarray(self._coloured(part))
        seen = part.convert("RGBA")
        if self.convert is not None:
            alpha = seen.getchannel("A")
            seen = self._coloured(part if self.space == "L" else seen)
            seen.putalpha(alpha)
        white = Image.new("RGBA", part.size, "white")
        return np.asarray(Image.alpha_composite(white, seen).convert("RGB"))

    def _coloured(self, part: Image.Image) -> Image.Image:
        if self.convert is None:
            return part if part.mode == "RGB" else part.convert("RGB")
        return self.convert(part if part.mode == self.space else part.convert(self.space))


_SPACES = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK", "LAB": "LAB"}


def _says_nothing_of_alpha(picture: Image.Image) -> bool:
    """Whether a bitmap has a fourth byte that is zero everywhere: it was written by programs that know no alpha."""
    return (
        picture.format in ("BMP", "DIB") and picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (0, 0)
    )
