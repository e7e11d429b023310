"""Batches of a catalogue: from entries to pictures, and from pictures to vectors, whoever computes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bier.data import TestTransform
from bier.data.images import cut, read_picture
from bier.errors import DataError, ImageError
from bier.vectors.encoder import PictureEncoder
from bier.vectors.parts import VectorBatch
from bier.vectors.sources import Entry

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Task:
    """What is wanted of pictures."""

    learners: int
    """Vectors of the first so many."""
    batch_size: int
    source: str
    """What messages call the place that the pictures come from."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures of a source that stand one after another, and what became of them."""

    pictures: list[Entry]
    kept: list[int]
    """Positions of those that could be read."""
    failed: list[tuple[str, str]]
    """Place of each of the others, and why."""
    vectors: NDArray[np.float32]
    """(kept, D)."""

    def rows(self) -> VectorBatch:
        pictures = [self.pictures[position] for position in self.kept]
        metadata = [{"image": picture.image, "label": picture.label, **picture.fields} for picture in pictures]
        return VectorBatch([picture.id for picture in pictures], self.vectors, metadata)


Decoded = tuple[list[Entry], NDArray[np.uint8] | Tensor, list[int], list[tuple[str, str]]]
"""Pictures of a batch, images uint8 (b, 3, s, s) of those that can be read, their positions, and the failures."""


def cut_up(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """The same in lists of so many; no more is read than they need."""
    left = iter(things)
    return iter(lambda: list(islice(left, size)), [])


def encoded(encoder: PictureEncoder, decoded: Decoded, task: Task) -> Batch:
    """The vectors of a batch.

    Raises:
        DataError: one of them has NaN or infinity.
    """
    pictures, images, kept, failed = decoded
    vectors = np.empty((0, sum(encoder.sizes[: task.learners])), np.float32)
    if kept:
        vectors = encoder.encode(torch.as_tensor(images), task.learners).numpy()
    _check_finite(vectors, [pictures[position] for position in kept], task.source)
    return Batch(pictures, kept, failed, vectors)


def _check_finite(vectors: NDArray[np.float32], pictures: list[Entry], source: str) -> None:
    faulty = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
    if faulty:
        raise DataError(
            f"the model gives NaN or infinity for {pictures[faulty[0]].id} ({len(faulty)} of a batch)",
            where=source,
            remedy="train again; with bfloat16, try float32",
        )


class Decoder(Dataset[Decoded]):
    """``decoder[pictures]`` is the content of a batch."""

    def __init__(self, transform: TestTransform, share: bool) -> None:
        self.transform, self.share = transform, share
        self._whole = "", torch.empty(0)
        """The picture that was cut last: the next object is often in it, too."""

    def __getitem__(self, pictures: list[Entry]) -> Decoded:
        size = self.transform.size
        images = np.empty((len(pictures), 3, size, size), dtype=np.uint8)
        kept: list[int] = []
        failed: list[tuple[str, str]] = []
        for position, picture in enumerate(pictures):
            try:
                images[len(kept)] = self.transform(self._read(picture)).numpy()
                kept.append(position)
            except ImageError as error:
                failed.append((picture.place, error.what))
        found = images[: len(kept)]
        return pictures, torch.from_numpy(found) if self.share else found, kept, failed

    def _read(self, picture: Entry) -> Tensor:
        if picture.fault is not None:
            raise ImageError(picture.fault, where=picture.id)
        if picture.box is None:
            return read_picture(picture.image, name=picture.id, view=self.transform)
        if self._whole[0] != picture.image:
            self._whole = picture.image, read_picture(picture.image, name=picture.id)
        return cut(self._whole[1], picture.box, picture.id)
