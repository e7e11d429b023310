"""Whether an exported model gives the vectors of the model it was made from, on real pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bier.data import Manifest, TestTransform, image_loader
from bier.errors import DataError, ModelError
from bier.vectors.encoder import Encoder

TOLERANCE = 1e-4
"""Largest difference in any entry of a vector."""

TOP = 10

TIE = 1e-5
"""Scores closer than this are ordered by rounding alone, which differs between programs."""

BATCHES = (1, 3, 8)
"""Sizes of the batches that the exported model is given, in turn."""


class Encodes(Protocol):
    def encode(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Parity:
    """How far an exported model is from its original."""

    pictures: int
    difference: float
    """Largest of any entry of any vector."""
    same_top: int
    """Queries (each picture among the others) whose first ten are the same, in the same order but for ties."""

    @property
    def holds(self) -> bool:
        return self.difference <= TOLERANCE and self.same_top == self.pictures

    def __str__(self) -> str:
        return (
            f"{self.pictures} pictures in batches of {', '.join(map(str, BATCHES))}: vectors differ by at most "
            f"{self.difference:.1e} (allowed {TOLERANCE:.0e}), the same top {min(TOP, self.pictures - 1)} for "
            f"{self.same_top} of {self.pictures}"
        )


def sample(manifest: Manifest, transform: TestTransform, count: int = 64) -> Tensor:
    """Pictures spread evenly over a manifest, ready for the model: uint8 (n, 3, size, size), without unreadable ones.

    Raises:
        DataError: fewer than two of them can be read.
    """
    rows = np.unique(np.linspace(0, len(manifest) - 1, count).round().astype(np.int64))
    images = torch.cat([batch.images for batch in image_loader(manifest.take(rows), transform, 16)])
    if len(images) < 2:
        raise DataError(
            f"{len(images)} of {len(rows)} pictures can be read; an export is checked on two or more",
            where=manifest.source,
            remedy="look at them with 'bier data check', or name others with --images",
        )
    return images


def check(original: Encoder, exported: Encodes, images: Tensor, where: Path) -> Parity:
    """Both on the same pictures.

    Raises:
        ModelError: they differ.
    """
    parity = compare(*(encode_all(encoder, images) for encoder in (original, exported)))
    if not parity.holds:
        raise ModelError(
            f"not written, for it would not be the same model: {parity}",
            where=where,
            remedy="export in another format (--to), or report the backbone's name to the authors of bier",
        )
    return parity


def compare(expected: Tensor, found: Tensor) -> Parity:
    """Of the vectors (n, D) of the same pictures; NaN is never the same."""
    difference = (expected - found).abs().nan_to_num(torch.inf).max().item()
    scores = _others(expected @ expected.T)
    top = min(TOP, len(scores) - 1)
    order = _others(found @ found.T).topk(top).indices
    lost = scores.topk(top).values - scores.gather(1, order)
    return Parity(len(expected), difference, int((lost.abs() <= TIE).all(1).sum()))


def encode_all(encoder: Encodes, images: Tensor) -> Tensor:
    return torch.cat([encoder.encode(batch) for batch in _batches(images)])


def _others(scores: Tensor) -> Tensor:
    return scores.fill_diagonal_(-torch.inf)


def _batches(images: Tensor) -> Iterator[Tensor]:
    start = 0
    for size in cycle(BATCHES):
        if start >= len(images):
            return
        yield images[start : start + size]
        start += size
