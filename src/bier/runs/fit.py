"""How long pictures become square: both ways are tried on training images, without training."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from rich.console import Console

from bier.data import Manifest
from bier.data.images import Fit, picture_shape
from bier.errors import ImageError
from bier.runs.trial import FEWEST_CLASSES, in_words, judged, score, some_images
from bier.settings.schema import Config
from bier.training.job import Job

TRIED: tuple[Fit, ...] = ("crop", "stretch")
"""The paper's ``pad`` loses to both on long pictures (docs/experiments.md)."""
LONG = 1.1
"""Longer side by shorter one; where half of the pictures have less, both ways show much the same."""


def choose_fit(job: Job, config: Config, console: Console) -> tuple[Config, float | None]:
    """The settings with the best way to a square in the place of ``auto``, and its MAP@R; None if none was measured.

    The two are compared where half of the training images, or more, are long. Whitening is fitted on some training
    classes and judged by MAP@R on others, among training images alone.
    """
    if config.image.fit != "auto":
        return config, None
    if not are_long(job.pictures.train):
        return config.replace(image__fit="crop"), None
    began, processes = time.monotonic(), job.hardware.processes
    images = some_images(job.pictures.train, config.seed)
    scores: dict[Fit, float] = {}
    if len(images.classes()) >= FEWEST_CLASSES:
        with console.status(f"trying image.fit on {len(images):,} images"), torch.random.fork_rng(devices=[]):
            scores = _scores(job, images, config.seed)
    if not scores:
        console.print(
            "image.fit: crop, since there are too few training classes of two readable images to compare "
            f"(it takes {FEWEST_CLASSES}). The ends of long pictures are cut off; image.fit=stretch keeps them",
            soft_wrap=True,
        )
        return config.replace(image__fit="crop"), None
    best = processes.gather_objects(max(scores, key=lambda name: scores[name]))[0]
    line = in_words("image.fit", best, scores, len(images.classes()), time.monotonic() - began)
    console.print(line, soft_wrap=True)
    return config.replace(image__fit=best), scores[best]


def are_long(images: Manifest, most: int = 100) -> bool:
    """Whether half of some pictures, or of their boxes, are longer than `LONG`; unreadable ones do not count."""
    rows = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
    ratios: list[float] = []
    for row in rows.tolist():
        with suppress(ImageError):
            shorter, longer = sorted(_shape(images, row))
            ratios.append(longer / max(shorter, 1))
    return bool(ratios) and float(np.median(ratios)) > LONG


def _shape(images: Manifest, row: int) -> tuple[float, float]:
    """Two sides in pixels, in any order."""
    if images.bbox is not None and not np.isnan(images.bbox[row]).any():
        _, _, width, height = images.bbox[row].tolist()
        return height, width
    return picture_shape(images.reference(row))


def _scores(job: Job, images: Manifest, seed: int) -> dict[Fit, float]:
    """MAP@R by the way to a square; nothing where too few images can be read."""
    model, scores = job.learning.model, dict[Fit, float]()
    for fit in TRIED:
        view = replace(job.pictures.test_view, fit=fit)
        tried = judged(model, images, view, job.hardware)
        if tried is None:
            return {}
        scores[fit] = score(tried, model.head, seed, "image.fit")
    return scores
