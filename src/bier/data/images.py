"""From a file to a square uint8 tensor: decoding as a person sees the picture, and the two transforms.

Numbers stay uint8 until they are on the device; the backbone owns the normalisation.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, ClassVar, Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from bier.errors import ImageError

Fit = Literal["crop", "pad"]

MAX_PIXELS = 100_000_000
"""A picture whose header announces more is refused before it is decoded."""

MARGIN = 256 / 224
"""How much larger than the network's input a picture is scaled before it is cut."""

_FORMATS = (
    "AVIF",
    "BMP",
    "GIF",
    "ICO",
    "JPEG",
    "JPEG2000",
    "MPO",
    "PNG",
    "PPM",
    "TIFF",
    "WEBP",
)
_WHITE = 255
_REMEDY = "replace the file, or remove its row from the source"
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""


def read_image(source: Path | bytes, bbox: Sequence[float] | np.ndarray | None = None, name: str = "") -> Tensor:
    """A picture as a person sees it: upright, in RGB, on white where it is transparent, the first frame of many.

    Args:
        source: a file in one of the usual formats, or what stands in one.
        bbox: x, y of the upper left corner, width and height in pixels of the upright picture; a box with NaN is none.
        name: what to call it in messages; by default its path.

    Returns:
        uint8 (3, H, W).

    Raises:
        ImageError: missing, empty, truncated, larger than `MAX_PIXELS`, not a picture, or the box lies outside.
    """
    name = name or ("the picture" if isinstance(source, bytes) else str(source))
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise ImageError("a folder" if Path(source).is_dir() else "no such file", where=name, remedy=_REMEDY)
    start = b""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file, _quiet():
            start = file.read(512)
            file.seek(0)
            image = _decode(file)
    # Decoders meet hostile bytes with every kind of exception; each of them means "this picture cannot be read".
    except Exception as error:
        raise ImageError(_reason(start, error), where=name, remedy=_REMEDY) from error
    return image if bbox is None else _cut(image, np.asarray(bbox, dtype=float), name)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; what matters is raised
        yield


def _decode(file: BinaryIO) -> Tensor:
    picture = Image.open(file, formats=_formats())  # reads the header only
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width} x {height} pixels are more than the limit of {MAX_PIXELS:,}")
    decoder = decoders()
    if decoder is not None and _is_plain(picture):
        file.seek(0)
        try:
            return _decode_fast(decoder, picture.format, file.read())
        except (RuntimeError, ValueError):
            # Stricter than Pillow about slightly damaged files, which a person's viewer shows all the same.
            picture = Image.open(file, formats=_formats())
    return torch.from_numpy(np.array(_upright_rgb(picture))).permute(2, 0, 1)


@cache
def _formats() -> list[str]:
    """Formats without scripts or external programs (Pillow would run Ghostscript on EPS) that Pillow has here."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


@cache
def decoders() -> ModuleType | None:
    """torchcodec, twice as fast as Pillow, or ``None`` where it is not installed or its libraries do not load."""
    try:
        from torchcodec import decoders as module
    except (ImportError, OSError, RuntimeError):
        return None
    return module if hasattr(module, "decode_webp") else None


def load_decoders() -> None:
    """Import now what `read_image` needs, such as before processes are forked."""
    _formats(), decoders()


def _is_plain(picture: Image.Image) -> bool:
    """Whether the fast decoder shows the same picture as Pillow: 8 bits, no alpha, no palette, one frame."""
    if picture.format in ("JPEG", "MPO"):
        # Only where the two cannot read different orientations: there is none, or Pillow sees it in the EXIF block.
        upright = "exif" not in picture.info and b"Orientation" not in picture.info.get("xmp", b"")
        return picture.mode in ("L", "RGB") and (upright or _orientation(picture) is not None)
    if picture.format not in ("PNG", "WEBP") or getattr(picture, "is_animated", False):
        return False
    return picture.mode == "RGB" and not {"transparency", "exif", "xmp"} & picture.info.keys()


def _decode_fast(decoder: ModuleType, kind: str | None, data: bytes) -> Tensor:
    decode = {"PNG": decoder.decode_png, "WEBP": decoder.decode_webp}.get(kind or "", decoder.decode_jpeg)
    image: Tensor = decode(data)
    return image


def _upright_rgb(picture: Image.Image) -> Image.Image:
    picture.load()
    turn = _TURNS.get(_orientation(picture) or 1)
    picture = _rgb(picture)
    return picture if turn is None else picture.transpose(turn)


def _orientation(picture: Image.Image) -> int | None:
    """The EXIF orientation, or ``None`` where there is none that can be read."""
    try:
        value = picture.getexif().get(0x0112)
        return None if value is None else int(value)
    except Exception:  # damaged metadata of a sound picture
        return None


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        picture = Image.fromarray(_to_8_bits(np.asarray(picture)))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 bits, of 32 bits (16 where some exceed 255), or floats in 0..1 (0..255 where some exceed 1)."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
        scale = 255.0 if values.max() <= 1 else 1.0
    else:
        scale = 1.0 if values.dtype.itemsize > 2 and values.max() <= 255 else 1 / 257
    return np.rint(values * scale).clip(0, 255).astype(np.uint8)


def _reason(start: bytes, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return str(error)
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, UnidentifiedImageError):
        return _what_it_is(start)
    return f"damaged picture ({str(error) or type(error).__name__})"


def _what_it_is(start: bytes) -> str:
    if not start:
        return "the file is empty"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "a web page or other markup, not a picture"
    return "not a picture in a known format"


def _cut(image: Tensor, bbox: np.ndarray, name: str) -> Tensor:
    if np.isnan(bbox).any():
        return image
    height, width = image.shape[-2:]
    x, y, w, h = bbox.tolist()
    left, top = max(0, int(x)), max(0, int(y))
    right, bottom = min(width, round(x + w)), min(height, round(y + h))
    if left >= right or top >= bottom:
        box = f"x {x:g}, y {y:g}, width {w:g}, height {h:g}"
        raise ImageError(
            f"box ({box}) outside the picture of {width} x {height}",
            where=name,
            remedy=_REMEDY,
        )
    return image[:, top:bottom, left:right]


@dataclass(frozen=True)
class TestTransform:
    """The same view of a picture every time.

    Args:
        size: side of the result in pixels.
        fit: ``crop`` scales the shorter side to 256/224 of ``size`` and keeps the centre; ``pad`` scales the longer
            side to ``size`` and fills up with white.
    """

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest thinks of its name

    size: int
    fit: Fit = "crop"

    def __call__(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) to uint8 (3, size, size)."""
        if self.fit == "pad":
            return _pad(image, self.size)
        # Cut before scaling: the same view, and a picture of 100,000 x 1 does not become gigabytes.
        height, width = image.shape[-2:]
        side = max(1, round(min(height, width) / MARGIN))
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(image[:, top : top + side, left : left + side], self.size, self.size)


@dataclass(frozen=True)
class TrainTransform:
    """A random view of a picture, drawn from the given generator and nothing else.

    Args:
        size: side of the result in pixels.
        fit: ``crop`` cuts a region of random place, area and shape; ``pad`` scales the longer side to 256/224 of
            ``size``, fills up with white, and cuts a square of ``size`` at a random place (the paper's).
        crop_scale: smallest share of the area that ``crop`` keeps; 1 gives the view of `TestTransform`, whatever
            ``fit`` is.
        flip: mirror every second picture.
        color_jitter: brightness, contrast and saturation each change by a factor in 1 -/+ this.
    """

    size: int
    fit: Fit = "crop"
    crop_scale: float = 0.3
    flip: bool = True
    color_jitter: float = 0.2

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 (3, H, W) to uint8 (3, size, size)."""
        draws = iter(torch.rand(_DRAWS, generator=generator).tolist())
        turn, factors = (
            next(draws),
            [1 + self.color_jitter * (2 * next(draws) - 1) for _ in range(3)],
        )
        image = self._view(image, draws)
        if self.flip and turn < 0.5:
            image = image.flip(-1)
        return _jitter(image, *factors) if self.color_jitter else image

    def _view(self, image: Tensor, draws: Iterator[float]) -> Tensor:
        if self.crop_scale >= 1:
            return TestTransform(self.size, self.fit)(image)
        across, down = next(draws), next(draws)
        if self.fit == "pad":
            image = _pad(image, round(self.size * MARGIN))
            height = width = self.size
        else:
            height, width = _random_shape(image.shape[-2], image.shape[-1], self.crop_scale, draws)
        top, left = (
            int(down * (image.shape[-2] - height + 1)),
            int(across * (image.shape[-1] - width + 1)),
        )
        return _resize(image[:, top : top + height, left : left + width], self.size, self.size)


_ATTEMPTS = 10
_DRAWS = 6 + 2 * _ATTEMPTS


def _random_shape(height: int, width: int, smallest: float, draws: Iterator[float]) -> tuple[int, int]:
    """Height and width of a region with a share of the area in smallest..1 and a shape in 3:4..4:3."""
    for _ in range(_ATTEMPTS):
        area = height * width * (smallest + (1 - smallest) * next(draws))
        ratio = (4 / 3) ** (2 * next(draws) - 1)
        h, w = round((area / ratio) ** 0.5), round((area * ratio) ** 0.5)
        if 0 < h <= height and 0 < w <= width:
            return h, w
    # A picture too long for its share: the largest region of an allowed shape.
    return min(height, max(1, round(width * 4 / 3))), min(width, max(1, round(height * 4 / 3)))


def _jitter(image: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """All three at once, rounded and clamped at the end.

    Sums of integers and elementwise arithmetic only: the same numbers with one thread (workers) and with several.
    """
    sample = image[:, ::4, ::4]  # enough for the mean grey that contrast turns around
    totals = sample.sum(dim=(1, 2), dtype=torch.int64).tolist()
    mean = sum(share * total for share, total in zip(_LUMA, totals, strict=True)) / sample[0].numel()
    pixels = image.contiguous().float()
    red, green, blue = (channel * share for channel, share in zip(pixels, _LUMA, strict=True))
    grey = red.add_(green).add_(blue)  # (H, W)
    grey.mul_(brightness * contrast * (1 - saturation)).add_(brightness * (1 - contrast) * mean + 0.5)
    pixels.mul_(brightness * contrast * saturation).add_(grey).clamp_(0, _WHITE)
    return pixels.to(torch.int16).to(torch.uint8)  # twice as fast as straight to uint8


_LUMA = (0.299, 0.587, 0.114)


def _pad(image: Tensor, size: int) -> Tensor:
    """Longer side to ``size``, white around the middle up to a square."""
    height, width = image.shape[-2:]
    scale = size / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    left, top = (size - width) // 2, (size - height) // 2
    image = _resize(image, height, width)
    return functional.pad(image, (left, size - width - left, top, size - height - top), value=_WHITE)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
