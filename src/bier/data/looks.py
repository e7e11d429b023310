"""What decoded pictures look like, as far as it raises doubts: one colour only, nearly black, or twice in a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional

_CELLS = 8
_ONE_COLOUR = 4
_DARK = 32
_CONTRAST = 6
_ALIKE, _FARTHEST = 3.0, 24
_WINDOW = 2000
"""How many pictures of about the same brightness a picture is compared with at most."""


@dataclass(frozen=True)
class Look:
    """A picture's size, and the mean colours of its parts."""

    width: int
    height: int
    colours: np.ndarray
    """(3 * 8 * 8,) uint8."""


def look_at(image: Tensor) -> Look:
    """Of a picture, uint8 (3, H, W)."""
    height, width = image.shape[-2:]
    small = functional.interpolate(image[None], (_CELLS, _CELLS), mode="bilinear", antialias=True)
    return Look(width, height, small.flatten().numpy())


def why_blank(image: Tensor, look: Look) -> str | None:
    """That a picture, uint8 (3, H, W), has one colour only or is nearly black, in words; none if it is neither."""
    parts = look.colours.reshape(3, -1).astype(int)
    if parts.max() > _DARK and np.ptp(parts, axis=1).max() > _ONE_COLOUR:
        return None  # told by its parts already, as of nearly all pictures
    return _blank(image)


def _blank(image: Tensor) -> str | None:
    low, high = (values.tolist() for values in (image.amin((1, 2)), image.amax((1, 2))))
    if all(most - least <= _ONE_COLOUR for least, most in zip(low, high, strict=True)):
        return f"it has one colour only ({', '.join(map(str, high))} of 255)"
    if max(high) <= _DARK:
        return f"it is nearly black: no value is above {max(high)} of 255"
    return None


def copies_at_other_sizes(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Pairs of pictures that show the same at two sizes: the place of the larger, then of the smaller.

    Scaling keeps the brightness, so each is compared with those of about its own.
    """
    colours = np.stack([look.colours for look in looks]).astype(np.float32)
    brightness = colours.mean(axis=1)
    order = np.argsort(brightness, kind="stable")
    ends = np.searchsorted(brightness[order], brightness[order] + _ALIKE, side="right")
    for place, end in enumerate(ends.tolist()):
        one, others = order[place], order[place + 1 : min(end, place + 1 + _WINDOW)]
        if len(others) and colours[one].std() >= _CONTRAST:
            apart = np.abs(colours[others] - colours[one])
            alike = others[(apart.mean(axis=1) <= _ALIKE) & (apart.max(axis=1) <= _FARTHEST)]
            yield from (_by_size(looks, int(one), int(other)) for other in alike if _scaled(looks[one], looks[other]))


def _scaled(one: Look, other: Look) -> bool:
    """Whether the sizes are of one shape and differ by a tenth or more."""
    wide, high = one.width / other.width, one.height / other.height
    return abs(wide / high - 1) < 0.03 and not 0.9 < wide < 1.1


def _by_size(looks: Sequence[Look], one: int, other: int) -> tuple[int, int]:
    return (one, other) if looks[one].width > looks[other].width else (other, one)
