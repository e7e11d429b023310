"""Batches of pictures, decoded by worker processes; the same batches for any number of them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bier.data.decoding import load_decoders
from bier.data.images import TestTransform, TrainTransform
from bier.data.manifest import Manifest
from bier.data.references import read_picture
from bier.data.sampler import BatchPlan
from bier.errors import DataError, ImageError

Indices = NDArray[np.int64]
Content = TypeVar("Content")


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


def memory_to_share(batch: int, workers: int) -> bool:
    """Whether batches of so many bytes fit in shared memory as tensors: ten times faster than a pipe, but containers
    often have 64 MB only."""
    folder = "/dev/shm"
    in_flight = 2 * workers + 2
    return not os.path.isdir(folder) or shutil.disk_usage(folder).free > 2 * in_flight * batch


def as_it_is(content: Any) -> Any:
    return content


def from_workers(
    dataset: Dataset[Content],
    batches: Iterable[Any],
    workers: int,
    send: Callable[[Any], Any] = as_it_is,
) -> Iterator[Content]:
    """``dataset[batch]`` for each batch, in order, made ahead by processes; with 0 workers, in this one.

    Args:
        dataset: decodes a batch.
        batches: what it is asked for; read no further ahead than needed.
        workers: processes.
        send: prepares content for the way home.

    Raises:
        DataError: a worker was killed from outside.
    """
    load_decoders()  # once here, not in every worker
    contents, processes = _started(dataset, batches, workers, send)
    try:
        yield from contents
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
        # A worker that dies while it hands over a batch breaks the connection before it is known to be dead.
        foreign = isinstance(error, RuntimeError) and "DataLoader worker" not in str(error)
        if not workers or foreign or "Caught" in str(error):
            raise
        for process in processes:  # one may wait for ever for a lock that the dead one held
            process.kill()
        raise DataError(
            "a process that decodes pictures was killed, perhaps for lack of memory",
            remedy="use fewer workers (data.workers, --workers); 0 decodes in the main process",
        ) from error


def _started(
    dataset: Dataset[Content], batches: Iterable[Any], workers: int, send: Callable[[Any], Any]
) -> tuple[Iterator[Content], list[BaseProcess]]:
    """Contents from workers that are running when this returns, and the workers."""
    others = set(multiprocessing.active_children())
    with warnings.catch_warnings(), _interrupts_held_back(), _deaths_found_on_asking():
        # Remarks on more workers than cores, and since Python 3.12 on forking beside other threads, whose locks the
        # workers do not touch.
        warnings.simplefilter("ignore")
        loader: DataLoader[Content] = DataLoader(
            dataset,
            batch_size=None,
            sampler=batches,
            num_workers=workers,
            collate_fn=send,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else it draws from the global one
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        )
        contents = iter(loader)
    return contents, [process for process in multiprocessing.active_children() if process not in others]


def _tensors(parts: _Parts) -> _Parts:
    images, labels, index, failed = parts
    return torch.as_tensor(images), labels, index, failed


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C reaches this process afterwards; processes started inside never see it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _deaths_found_on_asking() -> Iterator[None]:
    """A worker's death is an error when its next batch is asked for, some seconds later.

    torch would raise it from a signal handler, in the midst of whatever this process is doing: a training step, or
    the clean-up after the first such error.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _start_worker(number: int) -> None:
    # Ctrl-C, and a kill of the whole group, are for the main process: it saves a checkpoint, for which workers must
    # still be there. They end when it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
