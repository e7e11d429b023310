"""Which pooling suits a backbone and its pictures: all are tried on training images, without training."""

from __future__ import annotations

import time

import torch
from rich.console import Console
from torch import Tensor

from bier.data import Manifest
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.choice import SideBySide, possible_poolings, side_by_side
from bier.network.model import RetrievalModel
from bier.runs.trial import FEWEST_CLASSES, in_words, judged, score, some_images
from bier.settings.schema import Config
from bier.training.job import Job

SAME = 1e-4
"""Features of two poolings that differ by less, as a share of the largest, are those of one."""


def choose_pooling(job: Job, config: Config, console: Console) -> tuple[Config, float | None]:
    """The settings with the best pooling in the place of ``auto``, and its MAP@R; None if there was no choice.

    There is none where the network averages one map that is never negative: that backbone has ``gem`` already.
    Whitening is fitted on some training classes and judged by MAP@R on others, among training images alone.
    """
    backbone, processes = job.learning.model.backbone, job.hardware.processes
    if config.model.pooling != "auto" or backbone.pooling != "average" or len(possible_poolings(backbone)) == 1:
        return config, None
    began = time.monotonic()
    images = some_images(job.pictures.train, config.seed)
    scores: dict[str, float] = {}
    if len(images.classes()) >= FEWEST_CLASSES:
        with console.status(f"trying poolings on {len(images):,} images"), torch.random.fork_rng(devices=[]):
            scores = _scores(job, images, config.seed)
    if not scores:
        console.print(
            "pooling: the network's own, since there are too few training classes of two readable images to compare "
            f"poolings (it takes {FEWEST_CLASSES})",
            soft_wrap=True,
        )
        return config.replace(model__pooling="average"), None
    best = processes.gather_objects(max(scores, key=lambda name: scores[name]))[0]
    line = in_words("pooling", best, scores, len(images.classes()), time.monotonic() - began)
    console.print(line, soft_wrap=True)
    return config.replace(model__pooling=best), scores[best]


def _scores(job: Job, images: Manifest, seed: int) -> dict[str, float]:
    """MAP@R by pooling, equal ones once; nothing where too few images can be read."""
    model = job.learning.model
    all_of_them = side_by_side(model.backbone)
    scratch = EmbeddingEnsemble(all_of_them.backbone.features, (1,)).to(job.hardware.device)
    tried = judged(RetrievalModel(all_of_them.backbone, scratch), images, job.pictures.test_view, job.hardware)
    if tried is None:
        return {}
    return {
        name: score(tried._replace(features=all_of_them.of(tried.features, name)), model.head, seed, "model.pooling")
        for name in _different(all_of_them, tried.features)
    }


def _different(poolings: SideBySide, features: Tensor) -> list[str]:
    """The names of poolings with features of their own: the network's own way is often one that has a name, too."""
    found: dict[str, Tensor] = {}
    for name in sorted(poolings.columns, key=lambda name: name == "average"):
        one = poolings.of(features, name)
        if not any(
            one.shape == other.shape and (one - other).abs().max() < SAME * one.abs().max() for other in found.values()
        ):
            found[name] = one
    return list(found)
