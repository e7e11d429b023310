"""Which pooling suits a backbone and its pictures: all are tried on training images, without training."""

from __future__ import annotations

import time

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from bier.data import Manifest
from bier.errors import DataError
from bier.evaluate import evaluate_retrieval
from bier.method.ensemble import EmbeddingEnsemble
from bier.method.whitening import whiten
from bier.network.choice import SideBySide, possible_poolings, side_by_side
from bier.network.model import RetrievalModel
from bier.settings.schema import Config
from bier.training.job import Job
from bier.vectors.embed import embed

IMAGES = 1000
"""Training images, at most, that poolings are tried on: a tenth of those that the head starts from."""
FEWEST_CLASSES = 8
"""Half of them fit a whitening, the others judge it."""
OF_EACH = 20
"""Images of a class, at most, where there are many classes: more classes judge better than more images."""
SAME = 1e-4
"""Features of two poolings that differ by less, as a share of the largest, are those of one."""


def choose_pooling(job: Job, config: Config, console: Console) -> Config:
    """The settings with the best pooling in the place of ``auto``, where there is a choice.

    There is none where the network averages one map that is never negative: that backbone has ``gem`` already.
    Whitening is fitted on some training classes and judged by MAP@R on others, among training images alone.
    """
    backbone, processes = job.learning.model.backbone, job.hardware.processes
    if config.model.pooling != "auto" or backbone.pooling != "average" or len(possible_poolings(backbone)) == 1:
        return config
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
        return config.replace(model__pooling="average")
    best = processes.gather_objects(max(scores, key=lambda name: scores[name]))[0]
    others = ", ".join(f"{name} {100 * score:.1f}" for name, score in scores.items() if name != best)
    console.print(
        f"pooling: {best}, {100 * scores[best]:.1f} % MAP@R on {len(images.classes()) // 2} training classes"
        f"{f' ({others})' if others else ''}, {time.monotonic() - began:.0f} s",
        soft_wrap=True,
    )
    return config.replace(model__pooling=best)


def some_images(training: Manifest, seed: int) -> Manifest:
    """Up to `IMAGES` of classes drawn at random, at least two of each: `OF_EACH`, or more where classes are few."""
    random, codes = np.random.default_rng(seed), training.codes()
    classes = np.flatnonzero(np.bincount(codes) > 1)
    quota = max(OF_EACH, IMAGES // max(1, len(classes)))
    rows = [random.permutation(np.flatnonzero(codes == code))[:quota] for code in random.permutation(classes)]
    within = np.cumsum([0, *map(len, rows)])[1:] <= IMAGES
    chosen = [of_class for of_class, fits in zip(rows, within, strict=True) if fits]
    return training.take(np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64))


def _scores(job: Job, images: Manifest, seed: int) -> dict[str, float]:
    """MAP@R by pooling, equal ones once; nothing where too few images can be read."""
    model = job.learning.model
    all_of_them = side_by_side(model.backbone)
    scratch = EmbeddingEnsemble(all_of_them.backbone.features, (1,)).to(job.hardware.device)
    vectors = embed(
        RetrievalModel(all_of_them.backbone, scratch), images, transform=job.pictures.test_view, hardware=job.hardware
    )
    labels = torch.from_numpy(images.codes()[vectors.index])
    judges = labels % 2 == 1
    if not all(_can_be_searched(labels[part]) for part in (judges, ~judges)):
        return {}
    return {
        name: _score(
            _whitened(all_of_them.of(vectors.features, name), labels, judges, model.head, seed), labels[judges]
        )
        for name in _different(all_of_them, vectors.features)
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


def _can_be_searched(labels: Tensor) -> bool:
    """Whether there are two classes of two images."""
    return int((labels.bincount() > 1).sum()) > 1


def _whitened(features: Tensor, labels: Tensor, judges: Tensor, like: EmbeddingEnsemble, seed: int) -> Tensor:
    """Vectors of the judging images, from a head like that of the run, whitened on the others."""
    head = EmbeddingEnsemble(features.shape[1], like.sizes, weighting=like.weighting)
    try:
        whiten(head, features[~judges], labels[~judges], seed=seed)
    except DataError as error:
        raise DataError(error.what, where="model.pooling", remedy="check the pictures and model.weights") from error
    with torch.no_grad():
        vectors: Tensor = head(features[judges])
    return vectors


def _score(vectors: Tensor, labels: Tensor) -> float:
    map_at_r = evaluate_retrieval(vectors, labels, metrics=["map_at_r"], similarity="dot").map_at_r
    assert map_at_r is not None
    return map_at_r
