"""What happens to the head before the first step."""

from __future__ import annotations

import time

import numpy as np
import torch
from rich.console import Console

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
    some = job.pictures.train.take(np.sort(chosen))
    vectors = embed_manifest(model, some, job.pictures.test_view, job.hardware, console)
    if config.model.start == "whitening":
        labels = torch.from_numpy(some.codes()[vectors.index])
        try:
            whiten(model.head, vectors.features, labels, seed=config.seed)
        except DataError as error:
            remedy = "check the pictures and model.weights, or set model.start=random"
            raise DataError(error.what, where="model.start", remedy=remedy) from error
        console.print(
            f"the head starts from learned whitening of {len(vectors):,} images, {time.monotonic() - began:.0f} s"
        )
    if diversity is not None:
        done = initialize(model.head, vectors.features.to(job.hardware.device), diversity, seed=config.seed)
        console.print(
            f"initialised the head for diversity in {done.steps} steps, {time.monotonic() - began:.0f} s: joint "
            f"activation {done.joint_activation_before:.3g} → {done.joint_activation_after:.3g}"
        )
