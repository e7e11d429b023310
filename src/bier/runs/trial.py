"""Choices before training: on training pictures alone, a whitening of some classes is judged on others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from bier.data import Manifest
from bier.data.images import TestTransform
from bier.errors import DataError
from bier.evaluate import evaluate_retrieval
from bier.method.ensemble import EmbeddingEnsemble
from bier.method.whitening import whiten
from bier.network.model import RetrievalModel
from bier.system.hardware import Hardware
from bier.vectors.embed import embed

Name = TypeVar("Name", bound=str)

IMAGES = 1000
"""Training images, at most, that are looked at: a tenth of those that the head starts from."""
FEWEST_CLASSES = 8
"""Half of them fit a whitening, the others judge it."""
OF_EACH = 20
"""Images of a class, at most, where there are many classes: more classes judge better than more images."""


def some_images(training: Manifest, seed: int) -> Manifest:
    """Up to `IMAGES` of classes drawn at random, at least two of each: `OF_EACH`, or more where classes are few."""
    random, codes = np.random.default_rng(seed), training.codes()
    classes = np.flatnonzero(np.bincount(codes) > 1)
    quota = max(OF_EACH, IMAGES // max(1, len(classes)))
    rows = [random.permutation(np.flatnonzero(codes == code))[:quota] for code in random.permutation(classes)]
    within = np.cumsum([0, *map(len, rows)])[1:] <= IMAGES
    chosen = [of_class for of_class, fits in zip(rows, within, strict=True) if fits]
    return training.take(np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64))


class Judged(NamedTuple):
    """Features (n, d) of images, their classes (n,), and which of them judge; the others fit the whitening."""

    features: Tensor
    labels: Tensor
    judges: Tensor


def judged(model: RetrievalModel, images: Manifest, view: TestTransform, hardware: Hardware) -> Judged | None:
    """The features of images, half of whose classes judge; nothing where too few images can be read."""
    vectors = embed(model, images, transform=view, hardware=hardware)
    labels = torch.from_numpy(images.codes()[vectors.index])
    judges = labels % 2 == 1
    enough = all(_can_be_searched(labels[part]) for part in (judges, ~judges))
    return Judged(vectors.features, labels, judges) if enough else None


def score(tried: Judged, like: EmbeddingEnsemble, seed: int, setting: str) -> float:
    """MAP@R of the judging images, in vectors of a head that is whitened on the others.

    Args:
        tried: the features.
        like: the head of the run, whose sizes and weighting are taken.
        seed: of the whitening.
        setting: whose value is being tried, for an error.

    Raises:
        DataError: features that cannot be whitened.
    """
    features, labels, judges = tried
    head = EmbeddingEnsemble(features.shape[1], like.sizes, weighting=like.weighting)
    try:
        whiten(head, features[~judges], labels[~judges], seed=seed)
    except DataError as error:
        raise DataError(error.what, where=setting, remedy="check the pictures and model.weights") from error
    with torch.no_grad():
        vectors: Tensor = head(features[judges])
    found = evaluate_retrieval(vectors, labels[judges], metrics=["map_at_r"], similarity="dot").map_at_r
    assert found is not None
    return found


def in_words(setting: str, best: Name, scores: Mapping[Name, float], classes: int, seconds: float) -> str:
    """A line that tells the choice, what it was compared with, and the time."""
    others = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items() if name != best)
    return (
        f"{setting}: {best}, {100 * scores[best]:.1f} % MAP@R on {classes // 2} training classes"
        f"{f' ({others})' if others else ''}, {seconds:.0f} s"
    )


def _can_be_searched(labels: Tensor) -> bool:
    """Whether there are two classes of two images."""
    return int((labels.bincount() > 1).sum()) > 1
