"""A run, built: everything that training needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bier.data import BatchPlan, Manifest, TestTransform, TrainTransform
from bier.method.boosting import OnlineBoosting
from bier.network.model import RetrievalModel
from bier.system.processes import ALONE, Processes


@dataclass(frozen=True)
class Job:
    """A run, built: everything that :func:`run` needs. ``image`` describes the preprocessing in the model file."""

    folder: Path
    model: RetrievalModel
    backbone: Callable[[Tensor], Tensor]
    """The model's, as it runs in a step: images to features."""
    boost: OnlineBoosting
    diversity: nn.Module | None
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]
    train: Manifest
    validation: Manifest | None
    """Held-out classes (split ``val``) and the training pictures that they are searched among."""
    plan: BatchPlan
    """This process's share of the batches."""
    transform: TrainTransform
    test_transform: TestTransform
    image: dict[str, Any]
    epochs: int
    seed: int
    workers: int
    device: torch.device
    precision: torch.dtype
    images_at_once: int | None = None
    """Images in the backbone at once; more go through it in pieces."""
    clip_norm: float | None = None
    checkpoint_seconds: float = 60.0
    processes: Processes = ALONE

    def trained_modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"model": self.model, "loss": self.boost}
        return modules if self.diversity is None else {**modules, "diversity": self.diversity}
