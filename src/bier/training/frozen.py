"""A backbone that stays as it is: its features, made once, take the pictures' place in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.data import Batch, Manifest, TrainTransform
from bier.data.images import read_picture
from bier.data.loader import drawn_view, view_loader
from bier.data.plan import Plan
from bier.errors import DataError, ImageError
from bier.method.ensemble import EmbeddingEnsemble, normalize
from bier.network.backbone import Backbone
from bier.network.folded import InferenceBackbone
from bier.system.hardware import Hardware
from bier.training.stopping import Interrupted
from bier.vectors.embed import Embeddings
from bier.vectors.features import ViewFeatures

Indices = NDArray[np.int64]

HEAD_BATCH = 4096
"""Features in the head at once."""


@dataclass(frozen=True)
class Frozen:
    """What a backbone makes of all pictures of a training."""

    train: Manifest
    train_features: ViewFeatures
    """View 0 is the centre of a picture, as in evaluation; the others are random."""
    validation_features: ViewFeatures | None
    """Of the split ``val``: the centres."""

    def batches(self, plan: Plan, *, seed: int, epoch: int, start_batch: int) -> Iterator[Batch]:
        """Those of `bier.data.train_loader` with as many views, with features for images."""
        labels = torch.from_numpy(self.train.codes())
        for rows in plan.epoch(epoch)[start_batch:]:
            views = self.train_features.views
            drawn = [drawn_view(seed, epoch, row, again, views) for row, again in _repetitions(rows)]
            found = torch.from_numpy(self.train_features.rows(rows * views + np.array(drawn)))
            readable = _readable(found)
            failed = [self._failure(row) for row in sorted(set(rows[~readable.numpy()].tolist()))]
            index = torch.from_numpy(rows)[readable]
            yield Batch(found[readable], labels[index], index, failed)

    def centres(self, rows: Indices) -> tuple[Tensor, Indices]:
        """Features (n, d) of training pictures as evaluation sees them, and the rows that could be read."""
        found = torch.from_numpy(self.train_features.rows(rows * self.train_features.views))
        readable = _readable(found)
        return found[readable], rows[readable.numpy()]

    @torch.no_grad()
    def embed(self, head: EmbeddingEnsemble, manifest: Manifest) -> Embeddings:
        """What `bier.vectors.embed` gives for the head's model, for rows of ``val`` and of ``train``.

        Args:
            head: on the backbone.
            manifest: all of ``val``, and every training picture of some files, in the order of the table.
        """
        assert self.validation_features is not None
        searched = set(manifest.image[manifest.split == "train"])
        own = self.train.split == "train"  # and did not come with marks
        chosen = np.flatnonzero([image in searched for image in self.train.image] & own) * self.train_features.views
        features = torch.empty(len(manifest), self.train_features.width)
        of_val = torch.from_numpy(manifest.split == "val")
        features[~of_val] = torch.from_numpy(self.train_features.rows(chosen))
        features[of_val] = torch.from_numpy(self.validation_features.rows(np.arange(int(of_val.sum()))))
        readable = _readable(features)
        features = features[readable]
        device = head.linear.weight.device
        parts = [[normalize(z).cpu() for z in head.learners(x.to(device))] for x in features.split(HEAD_BATCH)]
        learners = tuple(torch.cat(learner) for learner in zip(*parts, strict=True))
        return Embeddings(learners, features, np.flatnonzero(readable.numpy()), [])

    def _failure(self, row: int) -> ImageError:
        """Why a picture is missing."""
        boxes = self.train.bbox
        try:
            read_picture(self.train.reference(row), None if boxes is None else boxes[row])
        except ImageError as error:
            return error
        return ImageError("could not be read when its features were made", where=self.train.reference(row))


def extract(
    backbone: Backbone,
    manifest: Manifest,
    features: ViewFeatures,
    missing: Sequence[Indices],
    view: TrainTransform,
    hardware: Hardware,
    *,
    seed: int,
    progress: Callable[[int], object] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Make features that are missing; several processes share them.

    Args:
        backbone: in evaluation mode it makes them; it is moved to the hardware's device and left as it is.
        manifest: the pictures, in the order of ``features``.
        features: where they go.
        missing: of their batches, as all processes see them.
        view: what random views are like.
        hardware: whose processes all call this alike.
        seed: of the views.
        progress: called with the number of views that this process has done.
        stop: whether this process was asked to stop; heard after each batch.

    Raises:
        Interrupted: one of the processes was asked to stop; what is done stays.
        DataError: a feature is NaN or infinite.
        StorageError: the disk is full.
    """
    processes = hardware.processes
    processes.wait()  # all have seen what is missing, before anyone adds to it
    mine = missing[processes.rank :: processes.world]
    network = InferenceBackbone(backbone.to(hardware.device), hardware.precision, hardware.channels_last)
    questions = len(missing) // processes.world
    loaded = view_loader(manifest, view, seed, features.views, mine, hardware.workers) if mine else iter(())
    for number, (batch, positions) in enumerate(zip(loaded, mine, strict=True), 1):
        features.write(positions, _values(network, batch, positions, features.width, manifest), processes.rank)
        progress(len(positions))
        if number <= questions and processes.any(stop()):
            raise Interrupted
    processes.wait()


@torch.inference_mode()
def _values(
    network: InferenceBackbone, batch: Batch, positions: Indices, width: int, manifest: Manifest
) -> NDArray[np.float32]:
    values = np.full((len(positions), width), np.nan, dtype=np.float32)
    if len(batch):
        found = network(batch.images).cpu()
        if not found.isfinite().all():
            raise DataError(
                "the backbone gives NaN or infinity for some pictures",
                where=manifest.source,
                remedy="check model.weights; with bfloat16, try hardware.precision=float32",
            )
        values[batch.index.numpy() - positions[0]] = found.numpy()
    return values


def _repetitions(rows: Indices) -> Iterator[tuple[int, int]]:
    """Each row with the number of times that the batch has held it before."""
    seen: dict[int, int] = {}
    for row in rows.tolist():
        yield row, seen.setdefault(row, 0)
        seen[row] += 1


def _readable(features: Tensor) -> Tensor:
    return ~features[:, 0].isnan()
