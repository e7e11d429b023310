"""Batches of pictures, decoded by worker processes; the same batches for any number of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bier.data.images import TestTransform, TrainTransform, read_picture
from bier.data.manifest import Manifest
from bier.data.sampler import BatchPlan
from bier.data.workers import as_it_is, from_workers, memory_to_share
from bier.errors import ImageError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """``b`` pictures; those that cannot be read are not among them but named in ``failed``."""

    images: Tensor
    """uint8 (b, 3, size, size)."""
    labels: Tensor
    """int64 (b,)."""
    index: Tensor
    """int64 (b,): position in the manifest."""
    failed: list[ImageError]

    def __len__(self) -> int:
        return len(self.index)


def train_loader(
    manifest: Manifest,
    plan: BatchPlan,
    transform: TrainTransform,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    workers: int = 0,
    labels: Indices | None = None,
) -> Iterator[Batch]:
    """The batches of an epoch from ``start_batch`` on, each picture in a random view.

    The view is a function of (seed, epoch, index), and of the repetition where a batch holds an image twice; neither
    the number of workers nor ``start_batch`` changes it.

    Args:
        manifest: the pictures, cut to their boxes if it has any.
        plan: which of them form a batch; made from the same manifest.
        transform: the random view.
        seed: of the views.
        epoch: of plan and views.
        start_batch: number of batches to leave out.
        workers: processes that decode; 0 decodes in this one.
        labels: (n,) integers for `Batch.labels`; by default ``manifest.codes()``.

    Raises:
        DataError: a worker was killed from outside.
        ProcessError: decoding failed in a way that is not known of pictures.
    """
    pictures = _Pictures(manifest, labels, transform.size, _RandomView(transform, seed, epoch))
    return _load(pictures, plan.epoch(epoch)[start_batch:], workers)


def image_loader(
    manifest: Manifest,
    transform: TestTransform,
    batch_size: int = 64,
    workers: int = 0,
    labels: Indices | None = None,
) -> Iterator[Batch]:
    """All pictures in order, in batches of ``batch_size``; see `train_loader`."""
    order = np.arange(len(manifest), dtype=np.int64)
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return _load(
        _Pictures(manifest, labels, transform.size, _SameView(transform)),
        batches,
        workers,
    )


@dataclass(frozen=True)
class _SameView:
    transform: TestTransform

    def __call__(self, image: Tensor, index: int, repetition: int) -> Tensor:
        return self.transform(image)


@dataclass(frozen=True)
class _RandomView:
    transform: TrainTransform
    seed: int
    epoch: int

    def __call__(self, image: Tensor, index: int, repetition: int) -> Tensor:
        key = f"{self.seed} {self.epoch} {index} {repetition}".encode()
        seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> 1
        return self.transform(image, torch.Generator().manual_seed(seed))


# What a worker sends: images (b, 3, s, s), labels (b,), index (b,), and the failures.
_Parts = tuple[NDArray[np.uint8] | Tensor, Indices, Indices, list[ImageError]]


class _Pictures(Dataset[_Parts]):
    """``pictures[indices]`` is the content of a whole batch."""

    def __init__(
        self,
        manifest: Manifest,
        labels: Indices | None,
        size: int,
        view: Callable[[Tensor, int, int], Tensor],
    ) -> None:
        self.manifest, self.size, self.view = manifest, size, view
        self.labels = manifest.codes() if labels is None else np.asarray(labels, dtype=np.int64)
        assert len(self.labels) == len(manifest)

    def __getitem__(self, indices: Indices) -> _Parts:
        images = np.empty((len(indices), 3, self.size, self.size), dtype=np.uint8)
        kept: list[int] = []
        failed: dict[int, ImageError] = {}
        seen: Counter[int] = Counter()
        for index in indices.tolist():
            try:
                images[len(kept)] = self.view(self._read(index), index, seen[index]).numpy()
                kept.append(index)
            except ImageError as error:
                failed[index] = error
            except Exception as error:  # a fault of ours, or of a library
                error.add_note(str(self.manifest.path(index)))
                raise
            seen[index] += 1
        index = np.array(kept, dtype=np.int64)
        return images[: len(kept)], self.labels[index], index, list(failed.values())

    def _read(self, index: int) -> Tensor:
        boxes = self.manifest.bbox
        return read_picture(self.manifest.reference(index), None if boxes is None else boxes[index])


def _load(pictures: _Pictures, batches: Sequence[Indices], workers: int) -> Iterator[Batch]:
    workers = min(workers, len(batches))
    share = workers > 0 and memory_to_share(len(batches[0]) * 3 * pictures.size**2, workers)
    for images, labels, index, failed in from_workers(pictures, batches, workers, _tensors if share else as_it_is):
        yield Batch(torch.as_tensor(images), torch.from_numpy(labels), torch.from_numpy(index), failed)


def _tensors(parts: _Parts) -> _Parts:
    images, labels, index, failed = parts
    return torch.as_tensor(images), labels, index, failed
