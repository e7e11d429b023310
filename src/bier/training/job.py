"""A run, built: what is trained, on which pictures, on what hardware. Nothing here knows settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bier.data import Manifest, TestTransform, TrainTransform, train_loader
from bier.data.loader import Batch
from bier.data.plan import Plan
from bier.method.boosting import OnlineBoosting
from bier.network.model import RetrievalModel
from bier.system.hardware import Hardware
from bier.training.frozen import Frozen


@dataclass(frozen=True)
class Learning:
    """What is trained, and how its weights move."""

    model: RetrievalModel
    backbone: Callable[[Tensor], Tensor]
    """The model's, as it runs in a step: images to features. A frozen one has done its work before."""
    boost: OnlineBoosting
    diversity: nn.Module | None
    """Features (n, d) and head to a scalar; none: only the boosted loss counts."""
    optimizer: torch.optim.Optimizer
    """Each of its groups has a ``peak_lr``, the highest rate of its schedule."""
    clip_norm: float | None = None
    """Longest gradient, over all weights; none: any."""
    images_at_once: int | None = None
    """Images in the backbone at once; more go through it in pieces."""

    def modules(self) -> dict[str, nn.Module]:
        """All that has state to save, by name."""
        trained: dict[str, nn.Module] = {"model": self.model, "loss": self.boost}
        return trained if self.diversity is None else {**trained, "diversity": self.diversity}

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


class Relations(Protocol):
    """What is known of pairs of training pictures, where labels alone do not say it."""

    def among(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Of the pictures at some rows (n,): 1 for pairs that are alike, 0 for others, -1 where it is unknown, (n, n).

        The matrix is symmetric and its diagonal is 1. A row may be there more than once.
        """


@dataclass(frozen=True)
class Pictures:
    """What is trained on, and what judges the epochs."""

    train: Manifest
    validation: Manifest | None
    """Held-out classes (split ``val``) and the training pictures that they are searched among."""
    plan: Plan
    """This process's share of the batches."""
    train_view: TrainTransform
    test_view: TestTransform
    views: int | None = None
    """Of each training picture; none: a new one each time."""
    frozen: Frozen | None = None
    """Features of all of them, which then take the pictures' place."""
    relations: Relations | None = None
    """What losses are told instead of labels."""
    label_separator: str | None = None
    """What stands between the labels of a picture; a found picture is right if it shares one."""

    def batches(self, epoch: int, start: int, *, seed: int, workers: int) -> Iterator[Batch]:
        """Those of an epoch, without the first ``start``."""
        if self.frozen is not None:
            return self.frozen.batches(self.plan, seed=seed, epoch=epoch, start_batch=start)
        return train_loader(
            self.train,
            self.plan,
            self.train_view,
            seed=seed,
            epoch=epoch,
            start_batch=start,
            workers=workers,
            views=self.views,
        )


@dataclass(frozen=True)
class Job:
    """Everything that :func:`bier.training.loop.run` needs."""

    folder: Path
    learning: Learning
    pictures: Pictures
    hardware: Hardware
    epochs: int
    rate: Callable[[int], float]
    """The factor on every peak rate, by the number of the step."""
    seed: int
    validations: int | None = None
    """Epochs that are validated, spread evenly, the last among them; none: each."""
    checkpoint_seconds: float = 60.0
    """Longest time between two checkpoints."""
    afterwards: int = 0
    """Pictures that go through the network after the last step, for the time that is left."""
    picture_seconds: float | None = None
    """What one of them takes, as far as that was measured before the first step."""

    def validated(self, after: int = 0) -> list[int]:
        """The epochs, from 1 and behind ``after``, that are validated."""
        count = self.epochs if self.validations is None else min(self.validations, self.epochs)
        epochs = [round(self.epochs * number / count) for number in range(1, count + 1)]
        return [epoch for epoch in epochs if epoch > after]
