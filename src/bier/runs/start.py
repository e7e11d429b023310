"""What happens to the head before the first step."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from bier.data.several_labels import label_entries
from bier.errors import DataError
from bier.method.initialization import initialize
from bier.method.whitening import whiten
from bier.runs.evaluation import embed_manifest
from bier.settings.schema import Config
from bier.training.job import Job

START_IMAGES = 10_000
"""Training images, at most, whose features the head starts from."""


def prepare_head(job: Job, config: Config, console: Console) -> None:
    """What happens to the head before the first step, on features of training images: whitening, then diversity."""
    diversity = job.learning.diversity if config.diversity.initialize else None
    if config.model.start == "random" and diversity is None:
        return
    began, model = time.monotonic(), job.learning.model
    chosen = np.random.default_rng(config.seed).permutation(len(job.pictures.train))[:START_IMAGES]
    features, rows = _features(job, np.sort(chosen), console)
    if config.model.start == "whitening":
        entries, classes = label_entries(job.pictures.train.take(rows), job.pictures.label_separator)
        try:
            whiten(model.head, features[entries], torch.from_numpy(classes), seed=config.seed)
        except DataError as error:
            remedy = "check the pictures and model.weights, or set model.start=random"
            raise DataError(error.what, where="model.start", remedy=remedy) from error
        console.print(
            f"the head starts from learned whitening of {len(features):,} images, {time.monotonic() - began:.0f} s"
        )
    if diversity is not None:
        done = initialize(model.head, features.to(job.hardware.device), diversity, seed=config.seed)
        console.print(
            f"initialised the head for diversity in {done.steps} steps, {time.monotonic() - began:.0f} s: joint "
            f"activation {done.joint_activation_before:.3g} → {done.joint_activation_after:.3g}"
        )


def _features(job: Job, rows: NDArray[np.int64], console: Console) -> tuple[Tensor, NDArray[np.int64]]:
    """Of training pictures: (n, d), and the rows of those that can be read."""
    if job.pictures.frozen is not None:
        return job.pictures.frozen.centres(rows)
    some = job.pictures.train.take(rows)
    vectors = embed_manifest(job.learning.model, some, job.pictures.test_view, job.hardware, console)
    return vectors.features, rows[vectors.index]
