"""Whether one picture is a copy of another: encoded again, scaled, cropped or mirrored. Pixels alone decide.

A copy shows a window of its original. So the smaller view slides over the larger one at several scales, both as it is
and mirrored. The best normalised cross-correlation of the two is the overlap (Lewis 1995, equation 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Shares = NDArray[np.floating[Any]]

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
    found = _best(view, whole, _COARSE, _STEPS, (False, True))
    if found.overlap < _WORTH_IT:
        return found.overlap
    return _best(view, whole, _FINE, np.minimum(1, found.share * _FINE_STEPS), (found.mirrored,)).overlap


def _best(view: Sketch, whole: Sketch, side: int, shares: Shares, flips: tuple[bool, ...]) -> _Place:
    large = _centred(_scaled(whole.pixels, side / _FINE))
    fit = min(a / b for a, b in zip(large.shape[1:], view.pixels.shape[1:], strict=True))
    shares = shares[shares >= _SMALLEST]
    views = [_centred(_scaled(view.pixels, fit * share)) for share in shares]
    norms = _norms(views, large)
    places = []
    for mirrored in flips:
        products = _products([view.flip(2) for view in views] if mirrored else views, large)
        for share, product, norm in zip(shares.tolist(), products, norms, strict=True):
            overlap = product[: norm.shape[0], : norm.shape[1]] / norm
            places.append(_Place(float(overlap.max()), share, mirrored))
    return max(places, key=lambda place: place.overlap)


def _scaled(pixels: Tensor, factor: float) -> Tensor:
    size = [max(1, round(length * factor)) for length in pixels.shape[1:]]
    scaled: Tensor = functional.interpolate(pixels[None].float(), size, mode="bilinear", antialias=True)[0]
    return scaled


def _centred(pixels: Tensor) -> Tensor:
    return pixels - pixels.mean((1, 2), keepdim=True)


def _products(views: list[Tensor], whole: Tensor) -> Tensor:
    """(views, H, W): the inner product of each view (3, h, w) with the window of (3, H, W) at each place."""
    padded = whole.new_zeros(len(views), *whole.shape)
    for place, view in zip(padded, views, strict=True):
        place[:, : view.shape[1], : view.shape[2]] = view
    # Through the frequencies: each size of a view would cost a convolution that is prepared anew.
    spectrum = torch.fft.rfft2(whole) * torch.fft.rfft2(padded).conj()
    products: Tensor = torch.fft.irfft2(spectrum.sum(1), s=whole.shape[1:])
    return products


def _norms(views: list[Tensor], whole: Tensor) -> list[Tensor]:
    """By what each view's products are divided, (H - h + 1, W - w + 1); infinite where a view shows one colour."""
    sums = functional.pad(torch.cat([whole, whole.square()]).double().cumsum(1).cumsum(2), (1, 0, 1, 0))
    norms = []
    for view in views:
        length, least = view.norm(), _CONTRAST * view.numel() ** 0.5
        total, squares = _windows(sums, *view.shape[1:]).split(len(whole))
        varied = (squares - total.square() / view[0].numel()).sum(0)
        norms.append(length.where(length >= least, torch.inf) * varied.clamp_min(least**2).sqrt())
    return norms


def _windows(sums: Tensor, height: int, width: int) -> Tensor:
    """The sum of each window of this size, of sums from the corner on."""
    wide = sums[:, :, width:] - sums[:, :, :-width]
    return wide[:, height:] - wide[:, :-height]
