"""From a file to a square uint8 tensor: reading a picture as a person sees it, and the two transforms.

Numbers stay uint8 until they are on the device; the backbone owns the normalisation.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, TypeVar

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from bier.data.box import BOX_REMEDY
from bier.data.decoding import Opened, decode, open_picture
from bier.data.limits import MAX_PIXELS, decoding_bytes
from bier.data.quiet import quiet
from bier.data.reduction import View
from bier.data.references import clipped, is_reference, located, picture_bytes, short_name
from bier.errors import ImageError, PlaceError

Fit = Literal["crop", "stretch", "pad"]
Filter = Literal["bilinear", "bicubic"]
Result = TypeVar("Result")

MARGIN = 256 / 224
"""How much larger than the network's input a picture is scaled before it is cut."""

_WHITE = 255
REMEDY = "replace the file, or remove its row from the source"


def read_image(
    source: Path | bytes,
    bbox: Sequence[float] | np.ndarray | None = None,
    name: str = "",
    *,
    max_pixels: int = MAX_PIXELS,
    view: View | None = None,
) -> Tensor:
    """A picture as a person sees it: upright, in sRGB, on white where it is transparent, the first frame of many.

    Args:
        source: a file in one of the usual formats, or what stands in one. Its name does not matter. A path of
            `Manifest.path` may also lead into a tar or Parquet file.
        bbox: x, y of the upper left corner, width and height in pixels of the upright picture; a box with NaN is none.
        name: what to call it in messages; by default its path.
        max_pixels: the largest picture that is decoded.
        view: what will be made of the picture. A JPEG with far more pixels is decoded smaller, unless it has a box.

    Returns:
        uint8 (3, H, W).

    Raises:
        ImageError: missing, empty, truncated, too large (see `bier.data.limits`), not a picture, or the box lies
            outside. A picture that needs an optional package is named with the command that installs it.
        PlaceError: a bucket cannot be asked.
    """
    name = _name_of(source, name)
    box = None if bbox is None or np.isnan(np.asarray(bbox, dtype=float)).any() else np.asarray(bbox, dtype=float)
    image = _read(source, name, max_pixels, lambda opened: decode(opened, view if box is None else None))
    return image if box is None else cut(image, box.tolist(), name)


def read_picture(
    image: Path | str, bbox: Sequence[float] | np.ndarray | None = None, name: str = "", view: View | None = None
) -> Tensor:
    """A picture wherever it is, as `read_image` reads one.

    Args:
        image: a path, or a reference into a tar or Parquet file.
        bbox: as for `read_image`.
        name: what to call it in messages; by default its path, or its `short_name`.
        view: as for `read_image`.

    Raises:
        ImageError: it is gone, or cannot be read.
    """
    if not is_reference(str(image)):
        return read_image(located(Path(image)), bbox, name or str(image), view=view)
    return read_image(picture_bytes(str(image)), bbox, name or short_name(str(image)), view=view)


def picture_shape(image: Path | str) -> tuple[int, int]:
    """Height and width of a picture, from its header; they may be exchanged where it is to be turned.

    Raises:
        ImageError: as `read_picture`, as far as the header shows it.
    """
    source = picture_bytes(str(image)) if is_reference(str(image)) else located(Path(image))
    width, height = _read(source, str(image), MAX_PIXELS, lambda opened: opened.picture.size)
    return height, width


def decode_cost(source: Path | bytes, name: str = "", *, max_pixels: int = MAX_PIXELS) -> int:
    """Bytes of memory that `read_image` will take at its peak, told from the picture's header.

    Raises:
        ImageError: as `read_image`, as far as the header shows it.
    """
    return _read(source, _name_of(source, name), max_pixels, lambda opened: decoding_bytes(opened.picture, opened.size))


def _name_of(source: Path | bytes, name: str) -> str:
    return clipped(name or ("the picture" if isinstance(source, bytes) else str(source)))


def _read(source: Path | bytes, name: str, max_pixels: int, use: Callable[[Opened], Result]) -> Result:
    """What `use` makes of the opened picture; everything that goes wrong is an `ImageError` with the name."""
    try:
        with _open(source) as file, quiet():
            return use(open_picture(file, max_pixels))
    except PlaceError:  # it says nothing of the picture
        raise
    except ImageError as error:
        raise ImageError(error.what, where=name, remedy=error.remedy or REMEDY) from error.__cause__
    # Decoders meet hostile bytes with every kind of exception; each of them means "this picture cannot be read".
    except Exception as error:
        raise ImageError(_reason(error), where=name, remedy=REMEDY) from error
    except BaseException as error:
        # A decoder in Rust that gives up raises what is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise ImageError(_reason(error), where=name, remedy=REMEDY) from error


def _open(source: Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if is_reference(str(source)) and not os.path.exists(source):
        return io.BytesIO(picture_bytes(str(source)))
    try:
        mode = os.stat(source).st_mode
        if stat.S_ISREG(mode):
            return open(source, "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("no such file") from None
    except PermissionError:
        raise ImageError("no permission to read it") from None
    except OSError as error:
        raise ImageError(f"no such file ({(error.strerror or str(error)).lower()})") from None
    except ValueError:
        raise ImageError("no such file (its name cannot be one)") from None
    raise ImageError("a folder" if stat.S_ISDIR(mode) else "neither a file nor a folder")  # a pipe might never end


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "damaged picture (its header cannot be read)"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    return f"damaged picture ({str(error) or type(error).__name__})"


def cut(image: Tensor, box: Sequence[float], name: str) -> Tensor:
    """What is in a box of a picture (3, H, W) that was read whole; see `read_image`.

    Raises:
        ImageError: the box lies outside.
    """
    height, width = image.shape[-2:]
    x, y, w, h = box
    left, top = max(0, int(x)), max(0, int(y))
    right, bottom = min(width, round(x + w)), min(height, round(y + h))
    if left >= right or top >= bottom:
        sides = f"x {x:g}, y {y:g}, width {w:g}, height {h:g}"
        raise ImageError(
            f"box ({sides}) outside the picture of {width} x {height}",
            where=name,
            remedy=BOX_REMEDY,
        )
    return image[:, top:bottom, left:right]


@dataclass(frozen=True)
class TestTransform:
    """The same view of a picture every time.

    Args:
        size: side of the result in pixels.
        fit: ``crop`` scales the shorter side to 256/224 of ``size`` and keeps the centre; ``stretch`` scales both
            sides to that and keeps the centre; ``pad`` scales the longer side to ``size`` and fills up with white.
        filter: how pixels are scaled; ``bicubic`` is sharper, and usual in pretraining.
    """

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest thinks of its name

    size: int
    fit: Fit = "crop"
    filter: Filter = "bilinear"

    @classmethod
    def of(cls, image: Mapping[str, Any]) -> TestTransform:
        """From what `described` gave to a model's file. Older files name no filter: theirs is bilinear."""
        return cls(image["size"], image["fit"], image.get("filter", "bilinear"))

    @property
    def described(self) -> dict[str, Any]:
        """For a model's file."""
        return {"size": self.size, "fit": self.fit, "filter": self.filter}

    def __call__(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) to uint8 (3, size, size)."""
        if self.fit == "pad":
            return _pad(image, self.size, self.filter)
        # Cut before scaling: the same view, and a picture of 100,000 x 1 does not become gigabytes.
        height, width = image.shape[-2:]
        longest = max(height, width) if self.fit == "stretch" else min(height, width)
        h, w = (max(1, round(min(side, longest) / MARGIN)) for side in (height, width))
        top, left = (height - h) // 2, (width - w) // 2
        return resize(image[:, top : top + h, left : left + w], self.size, self.size, self.filter)

    def shrinks(self, height: int, width: int) -> float:
        """As `bier.data.reduction.View`."""
        return max(height, width) / self.size if self.fit == "pad" else min(height, width) / MARGIN / self.size


@dataclass(frozen=True)
class TrainTransform:
    """A random view of a picture, drawn from the given generator and nothing else.

    Args:
        size: side of the result in pixels.
        fit: ``crop`` cuts a region of random place, area and shape; ``stretch`` does so where the picture was made
            square before; ``pad`` scales the longer side to 256/224 of ``size``, fills up with white, and cuts a square
            of ``size`` at a random place (the paper's).
        crop_scale: smallest share of the area that ``crop`` and ``stretch`` keep; 1 gives the view of
            `TestTransform`, whatever ``fit`` is.
        flip: mirror every second picture.
        color_jitter: brightness, contrast and saturation each change by a factor in 1 -/+ this.
        filter: as `TestTransform`.
    """

    size: int
    fit: Fit = "crop"
    crop_scale: float = 0.6
    flip: bool = True
    color_jitter: float = 0.2
    filter: Filter = "bilinear"

    @property
    def centre(self) -> TestTransform:
        """The view without chance."""
        return TestTransform(self.size, self.fit, self.filter)

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

    def shrinks(self, height: int, width: int) -> float:
        """As `bier.data.reduction.View`: where the smallest region is cut, in its narrowest shape."""
        if self.crop_scale >= 1:
            return self.centre.shrinks(height, width)
        if self.fit == "pad":
            return max(height, width) / MARGIN / self.size
        shorter = min(height, width)
        shared = shorter if self.fit == "stretch" else max(height, width)
        return min(shorter, math.sqrt(shorter * shared * self.crop_scale * 3 / 4)) / self.size

    def _view(self, image: Tensor, draws: Iterator[float]) -> Tensor:
        if self.crop_scale >= 1:
            return self.centre(image)
        across, down = next(draws), next(draws)
        if self.fit == "pad":
            image = _pad(image, round(self.size * MARGIN), self.filter)
            height = width = self.size
        else:
            natural = image.shape[-1] / image.shape[-2] if self.fit == "stretch" else 1.0
            height, width = _random_shape(image.shape[-2], image.shape[-1], self.crop_scale, draws, natural)
        top, left = (
            int(down * (image.shape[-2] - height + 1)),
            int(across * (image.shape[-1] - width + 1)),
        )
        return resize(image[:, top : top + height, left : left + width], self.size, self.size, self.filter)


_ATTEMPTS = 10
_DRAWS = 6 + 2 * _ATTEMPTS


def _random_shape(
    height: int, width: int, smallest: float, draws: Iterator[float], natural: float = 1.0
) -> tuple[int, int]:
    """Height and width of a region with a share of the area in smallest..1.

    Its shape, width by height, is 3:4 to 4:3 of the ``natural`` one.
    """
    for _ in range(_ATTEMPTS):
        area = height * width * (smallest + (1 - smallest) * next(draws))
        ratio = natural * (4 / 3) ** (2 * next(draws) - 1)
        h, w = round((area / ratio) ** 0.5), round((area * ratio) ** 0.5)
        if 0 < h <= height and 0 < w <= width:
            return h, w
    # A picture too long for its share: the largest region of an allowed shape.
    tallest, widest = width / natural * 4 / 3, height * natural * 4 / 3
    return min(height, max(1, round(tallest))), min(width, max(1, round(widest)))


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


def _pad(image: Tensor, size: int, filter: Filter) -> Tensor:
    """Longer side to ``size``, white around the middle up to a square."""
    height, width = image.shape[-2:]
    scale = size / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    left, top = (size - width) // 2, (size - height) // 2
    image = resize(image, height, width, filter)
    return functional.pad(image, (left, size - width - left, top, size - height - top), value=_WHITE)


def resize(image: Tensor, height: int, width: int, filter: Filter) -> Tensor:
    """uint8 (3, H, W) to (3, height, width)."""
    return functional.interpolate(image[None], (height, width), mode=filter, antialias=True)[0]
