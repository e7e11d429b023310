"""Copies that are encoded again, cropped or mirrored fit into their originals; other pictures do not."""

from __future__ import annotations

import torch
from torch.nn import functional

from bier.data.overlap import COPY, overlap, sketch


def picture(seed: int, height: int = 180, width: int = 240) -> torch.Tensor:
    noise = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(seed))
    return (255 * functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)[0]).to(torch.uint8)


def test_copies_overlap_and_strangers_do_not() -> None:
    original = picture(0)
    copies = {
        "the same": original,
        "smaller": functional.interpolate(original[None].float(), (60, 80), mode="bilinear")[0].to(torch.uint8),
        "cropped": original[:, 20:160, 50:220],
        "mirrored": original.flip(2),
        "mirrored and cropped": original.flip(2)[:, 10:170, 5:200],
        "darker": (original.float() * 0.6).to(torch.uint8),
    }
    for name, copy in copies.items():
        assert overlap(sketch(original), sketch(copy)) > COPY, name
        assert overlap(sketch(copy), sketch(original)) > COPY, name
    assert max(overlap(sketch(original), sketch(picture(seed))) for seed in range(1, 5)) < 0.8


def test_one_colour_is_a_copy_of_nothing() -> None:
    grey = torch.full((3, 50, 60), 128, dtype=torch.uint8)
    assert overlap(sketch(grey), sketch(grey)) == 0
    assert overlap(sketch(grey), sketch(picture(0))) < COPY
