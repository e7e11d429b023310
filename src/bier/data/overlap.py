"""Whether one picture is a copy of another: encoded again, scaled, cropped or mirrored. Pixels alone decide.

A copy shows a window of its original. So the smaller view slides over the larger one at several scales, both as it is
and mirrored. The best normalised cross-correlation of the two is the overlap (Lewis 1995, equation 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

COPY = 0.885
"""Overlap from which two pictures are copies; `recipes/copies.py` measures it."""

_COARSE, _FINE = 32, 96
_WORTH_IT = 0.75
_SMALLEST = 0.6
_STEPS = 0.96 ** np.arange(13)
_FINE_STEPS = 0.99 ** np.arange(-3, 4)
_CONTRAST = 2.0


@dataclass(frozen=True, eq=False)
class Sketch:
    """A picture that is small enough to keep many of them."""

    pixels: Tensor
    """(3, h, w) uint8; the longer side has 96 pixels."""
    width: int
    """Of the picture itself; likewise its height."""
    height: int


@dataclass(frozen=True)
class _Place:
    """Where a view fits best."""

    overlap: float
    share: float
    """Of the largest size at which it fits."""
    mirrored: bool


def sketch(image: Tensor) -> Sketch:
    """Of a picture, uint8 (3, H, W)."""
    height, width = image.shape[-2:]
    factor = _FINE / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    small = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return Sketch(small, width, height)


def overlap(one: Sketch, other: Sketch) -> float:
    """How well one picture fits into the other, -1 to 1; 0 where either shows one colour only."""
    return max(_fit(one, other), _fit(other, one))


def _fit(view: Sketch, whole: Sketch) -> float:
    found = _best(view, whole, _COARSE, [(share, mirrored) for share in _STEPS for mirrored in (False, True)])
    if found.overlap < _WORTH_IT:
        return found.overlap
    near = [(min(1.0, found.share * step), found.mirrored) for step in _FINE_STEPS]
    return _best(view, whole, _FINE, near).overlap


def _best(view: Sketch, whole: Sketch, side: int, tries: list[tuple[float, bool]]) -> _Place:
    large = _scaled(whole.pixels, side / _FINE)
    fit = min(a / b for a, b in zip(large.shape[1:], view.pixels.shape[1:], strict=True))
    places = []
    for share, mirrored in tries:
        if share >= _SMALLEST:
            small = _scaled(view.pixels, fit * share)
            places.append(_Place(_correlation(small.flip(2) if mirrored else small, large), share, mirrored))
    return max(places, key=lambda place: place.overlap)


def _scaled(pixels: Tensor, factor: float) -> Tensor:
    size = [max(1, round(length * factor)) for length in pixels.shape[1:]]
    scaled: Tensor = functional.interpolate(pixels[None].float(), size, mode="bilinear", antialias=True)[0]
    return scaled


def _correlation(view: Tensor, whole: Tensor) -> float:
    """The highest normalised cross-correlation of a view (3, h, w) with the windows of a picture (3, H, W)."""
    view = view - view.mean((1, 2), keepdim=True)
    whole = whole - whole.mean((1, 2), keepdim=True)
    height, width = view.shape[1:]
    varied = _windows(whole.square(), height, width) - _windows(whole, height, width).square() / (height * width)
    length, least = view.norm(), _CONTRAST * view.numel() ** 0.5
    if length < least:
        return 0.0
    # Through the frequencies: each size of a view would cost a convolution that is prepared anew.
    spectrum = torch.fft.rfft2(whole) * torch.fft.rfft2(view, s=whole.shape[1:]).conj()
    product = torch.fft.irfft2(spectrum.sum(0), s=whole.shape[1:])[: varied.shape[1], : varied.shape[2]]
    return float((product / (length * varied.sum(0).clamp_min(0).sqrt().clamp_min(least))).max())


def _windows(values: Tensor, height: int, width: int) -> Tensor:
    """The sum of each window of this size, (3, H - height + 1, W - width + 1)."""
    sums = functional.pad(values.double().cumsum(1).cumsum(2), (1, 0, 1, 0))
    wide = sums[:, :, width:] - sums[:, :, :-width]
    return wide[:, height:] - wide[:, :-height]
