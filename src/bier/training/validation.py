"""How good a model is on held-out training classes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bier.data import Manifest
from bier.evaluate import evaluate_retrieval
from bier.evaluate.shared_labels import shared_label
from bier.system.processes import Processes
from bier.training.job import Job
from bier.training.stopping import Interrupted
from bier.vectors.embed import Embeddings, embed

BATCH = 64
"""Pictures at once."""


def validate(
    job: Job,
    manifest: Manifest,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int, float], object] = lambda done, total, spent: None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Recall@1 and MAP@R of the ensemble, and MAP@R of each class: each picture of ``val`` searches all others.

    Args:
        job: whose model is measured.
        manifest: the pictures.
        stop: whether this process was asked to stop; heard after each batch.
        progress: called after each batch with the number of pictures done, that of all, and the seconds so far.

    Raises:
        Interrupted: one of the processes was asked to stop.
    """
    model, asking = job.learning.model, _Asking(job.hardware.processes, stop, len(manifest), progress)
    vectors = _embedded(job, manifest, asking)
    asking.ask()
    scales = model.head.scales().cpu()
    ensemble = torch.cat([s * z for s, z in zip(scales, vectors.learners, strict=True)], dim=1)
    scores = validation_scores(
        ensemble,
        manifest.take(vectors.index),
        separator=job.pictures.label_separator,
        distributed=job.hardware.processes.world > 1,
    )
    asking.ask()
    return scores


def validation_scores(
    vectors: Tensor, manifest: Manifest, *, separator: str | None = None, distributed: bool = False
) -> tuple[dict[str, float], dict[str, float]]:
    """Recall@1 and MAP@R, and MAP@R of each class: each picture of ``val`` searches all others.

    Args:
        vectors: (n, D), of length 1.
        manifest: the n pictures.
        separator: what stands between the labels of a picture; none: each has one.
        distributed: all processes call this alike, and share the work.
    """
    labels = manifest.codes()
    queries = np.flatnonzero(manifest.split == "val")
    result = evaluate_retrieval(
        vectors[queries],
        labels[queries],
        gallery=vectors,
        gallery_labels=labels,
        ids=queries,
        gallery_ids=np.arange(len(labels)),
        recall_at=(1,),
        similarity="dot",
        relevance=None
        if separator is None
        else shared_label(manifest.label[queries], manifest.label, separator=separator),
        distributed=distributed,
    )
    assert result.map_at_r is not None
    by_class = {str(label): figures["map_at_r"] for label, figures in result.per_class().items()}
    return {"recall@1": result.recall[1], "map_at_r": result.map_at_r}, by_class


def _embedded(job: Job, manifest: Manifest, asking: _Asking) -> Embeddings:
    if job.pictures.frozen is not None:
        return job.pictures.frozen.embed(job.learning.model.head, manifest)
    return embed(
        job.learning.model,
        manifest,
        transform=job.pictures.test_view,
        hardware=job.hardware,
        batch_size=BATCH,
        progress=asking.after_a_batch,
    )


class _Asking:
    """Asks all processes whether to stop, as often in each: their shares may differ by one batch. And tells."""

    def __init__(
        self,
        processes: Processes,
        stop: Callable[[], bool],
        images: int,
        progress: Callable[[int, int, float], object],
    ) -> None:
        self.processes, self.stop, self.images, self.progress = processes, stop, images, progress
        self.done, self.began = 0, time.monotonic()
        self.questions = images // processes.world // BATCH

    def after_a_batch(self, images: int) -> None:
        self.done = min(self.done + images * self.processes.world, self.images)
        self.progress(self.done, self.images, time.monotonic() - self.began)
        self.questions -= 1
        if self.questions >= 0:
            self.ask()

    def ask(self) -> None:
        if self.processes.any(self.stop()):
            raise Interrupted
