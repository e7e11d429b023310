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
from bier.data.plain_copy import read_copy
from bier.data.plan import Plan
from bier.data.workers import as_it_is, from_workers, memory_to_share
from bier.errors import ImageError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """``b`` pictures; those that cannot be read are not among them but named in ``failed``."""

    images: Tensor
    """uint8 (b, 3, size, size); or float32 (b, d), what a frozen backbone has made of them."""
    labels: Tensor
    """int64 (b,)."""
    index: Tensor
    """int64 (b,): position in the manifest."""
    failed: list[ImageError]

    def __len__(self) -> int:
        return len(self.index)


def train_loader(
    manifest: Manifest,
    plan: Plan,
    transform: TrainTransform,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    workers: int = 0,
    labels: Indices | None = None,
    views: int | None = None,
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
        views: of each picture, of which `drawn_view` names one; none given: any number.

    Raises:
        DataError: a worker was killed from outside.
        ProcessError: decoding failed in a way that is not known of pictures.
    """
    view = _RandomView(transform, seed, epoch) if views is None else _DrawnView(transform, seed, epoch, views)
    return _load(_Pictures(manifest, labels, transform.size, view), plan.epoch(epoch)[start_batch:], workers)


def view_loader(
    manifest: Manifest,
    transform: TrainTransform,
    seed: int,
    views: int,
    batches: Sequence[Indices],
    workers: int = 0,
) -> Iterator[Batch]:
    """Pictures in given views: those that `train_loader` draws from.

    Args:
        manifest: n pictures, cut to their boxes if it has any.
        transform: the random view; view 0 is the centre of the picture, as in evaluation.
        seed: of the views.
        views: of each picture.
        batches: positions ``picture * views + view``; `Batch.index` holds them. Views of one picture that follow one
            another are decoded once.
        workers: as for `train_loader`.
    """
    every = np.arange(len(manifest)).repeat(views)
    pictures = _Pictures(manifest.take(every), None, transform.size, _NumberedView(transform, seed, views), views)
    return _load(pictures, batches, workers)


def drawn_view(seed: int, epoch: int, index: int, repetition: int, views: int) -> int:
    """Which of so many views of a picture an epoch shows."""
    return _hash(f"{seed} {epoch} {index} {repetition} of {views}") % views


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
class _View:
    """What is made of one picture."""

    transform: TestTransform | TrainTransform
    seed: int = 0
    """Of what a random one draws."""

    def __call__(self, image: Tensor) -> Tensor:
        if isinstance(self.transform, TestTransform):
            return self.transform(image)
        return self.transform(image, torch.Generator().manual_seed(self.seed))


@dataclass(frozen=True)
class _SameView:
    transform: TestTransform

    def __call__(self, index: int, repetition: int) -> _View:
        return _View(self.transform)


@dataclass(frozen=True)
class _RandomView:
    transform: TrainTransform
    seed: int
    epoch: int

    def __call__(self, index: int, repetition: int) -> _View:
        return _View(self.transform, _hash(f"{self.seed} {self.epoch} {index} {repetition}"))


@dataclass(frozen=True)
class _DrawnView:
    transform: TrainTransform
    seed: int
    epoch: int
    views: int

    def __call__(self, index: int, repetition: int) -> _View:
        view = drawn_view(self.seed, self.epoch, index, repetition, self.views)
        return _one_view(self.transform, self.seed, view, index)


@dataclass(frozen=True)
class _NumberedView:
    transform: TrainTransform
    seed: int
    views: int

    def __call__(self, index: int, repetition: int) -> _View:
        return _one_view(self.transform, self.seed, index % self.views, index // self.views)


def _one_view(transform: TrainTransform, seed: int, view: int, index: int) -> _View:
    """The centre for view 0, else what an epoch of that number would show."""
    if view == 0:
        return _View(transform.centre)
    return _RandomView(transform, seed, view)(index, 0)


def _hash(key: str) -> int:
    """63 bits."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) >> 1


# What a worker sends: images (b, 3, s, s), labels (b,), index (b,), and the failures.
_Parts = tuple[NDArray[np.uint8] | Tensor, Indices, Indices, list[ImageError]]


class _Pictures(Dataset[_Parts]):
    """``pictures[indices]`` is the content of a whole batch."""

    def __init__(
        self,
        manifest: Manifest,
        labels: Indices | None,
        size: int,
        view: Callable[[int, int], _View],
        alike: int = 1,
    ) -> None:
        self.manifest, self.size, self.view = manifest, size, view
        self.alike = alike
        """So many rows after one another are the same picture."""
        self._last: tuple[tuple[int, object], Tensor] | None = None
        self.labels = manifest.codes() if labels is None else np.asarray(labels, dtype=np.int64)
        assert len(self.labels) == len(manifest)

    def __getitem__(self, indices: Indices) -> _Parts:
        images = np.empty((len(indices), 3, self.size, self.size), dtype=np.uint8)
        kept: list[int] = []
        failed: dict[int, ImageError] = {}
        seen: Counter[int] = Counter()
        for index in indices.tolist():
            try:
                view = self.view(index, seen[index])
                images[len(kept)] = view(self._read(index, view.transform)).numpy()
                kept.append(index)
            except ImageError as error:
                failed[index] = error
            except Exception as error:  # a fault of ours, or of a library
                error.add_note(str(self.manifest.path(index)))
                raise
            seen[index] += 1
        index = np.array(kept, dtype=np.int64)
        return images[: len(kept)], self.labels[index], index, list(failed.values())

    def _read(self, index: int, transform: TestTransform | TrainTransform) -> Tensor:
        known = index // self.alike, transform  # which decides how large it is decoded
        if self._last is not None and self._last[0] == known:
            return self._last[1]
        image = self._picture(index, transform)
        if self.alike > 1:
            self._last = known, image
        return image

    def _picture(self, index: int, transform: TestTransform | TrainTransform) -> Tensor:
        copies, boxes = self.manifest.copies, self.manifest.bbox
        if copies is not None and copies[index]:
            return read_copy(copies[index])
        return read_picture(self.manifest.reference(index), None if boxes is None else boxes[index], view=transform)


def _load(pictures: _Pictures, batches: Sequence[Indices], workers: int) -> Iterator[Batch]:
    workers = min(workers, len(batches))
    share = workers > 0 and memory_to_share(len(batches[0]) * 3 * pictures.size**2, workers)
    for images, labels, index, failed in from_workers(pictures, batches, workers, _tensors if share else as_it_is):
        yield Batch(torch.as_tensor(images), torch.from_numpy(labels), torch.from_numpy(index), failed)


def _tensors(parts: _Parts) -> _Parts:
    images, labels, index, failed = parts
    return torch.as_tensor(images), labels, index, failed
