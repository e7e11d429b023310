"""Large JPEGs decoded smaller."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from bier.data import TestTransform, TrainTransform, read_image
from bier.data.images import _random_shape
from bier.data.reduction import ENOUGH, reduction
from bier.errors import ImageError


def scene(height: int, width: int, kind: str = "JPEG", **settings: object) -> bytes:
    """Smooth waves with an edge across."""
    y, x = np.mgrid[:height, :width] / 40
    waves = np.stack([np.sin(x + y), np.cos(x), np.sin(y) * (x > y)], axis=-1)
    file = io.BytesIO()
    Image.fromarray((127 + 120 * waves).astype(np.uint8)).save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    ("factor", "scale"), [(0.5, 1), (3.9, 1), (4.0, 2), (7.9, 2), (8.0, 4), (15.9, 4), (16, 8), (99, 8)]
)
def test_a_reduced_picture_keeps_twice_the_wanted_pixels(factor: float, scale: int) -> None:
    assert reduction(factor) == scale


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_view_of_a_large_jpeg_stays_the_same(fit: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = scene(900, 1300, quality=95, exif=exif)
    view = TestTransform(64, fit)  # type: ignore[arg-type]
    whole, small = read_image(content), read_image(content, view=view)
    scale = {"crop": 4, "stretch": 4, "pad": 8}[fit]
    assert small.shape[1] == -(-whole.shape[1] // scale)
    assert (view(whole).float() - view(small).float()).abs().mean() < 3


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize(("height", "width"), [(700, 3000), (1200, 1200), (3000, 900)])
def test_no_random_region_is_smaller_than_twice_the_view(fit: str, height: int, width: int) -> None:
    view = TrainTransform(32, fit)  # type: ignore[arg-type]
    scale = reduction(view.shrinks(height, width))
    assert scale > 1
    if fit == "pad":
        assert max(height, width) / scale >= ENOUGH * 32
        return
    sizes: list[int] = []
    for seed in range(200):
        draws = iter(torch.rand(22, generator=torch.Generator().manual_seed(seed)).tolist())
        h, w = height // scale, width // scale
        sizes.append(min(_random_shape(h, w, view.crop_scale, draws, w / h if fit == "stretch" else 1.0)))
    assert min(sizes) >= ENOUGH * 32 - 1


def test_boxes_and_other_formats_are_decoded_whole() -> None:
    view = TestTransform(16)
    assert read_image(scene(300, 400), [100, 50, 200, 100], view=view).shape == (3, 100, 200)
    assert read_image(scene(300, 400), [np.nan] * 4, view=view).shape == (3, 38, 50)
    assert read_image(scene(300, 400, "PNG"), view=view).shape == (3, 300, 400)


def test_a_truncated_jpeg_is_refused_at_any_size() -> None:
    content = scene(900, 1300)
    with pytest.raises(ImageError, match="damaged"):
        read_image(content[: len(content) // 2], view=TestTransform(32))
