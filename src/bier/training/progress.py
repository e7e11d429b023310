"""Where a run stands, and what the batches of its epoch add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from bier.data import Manifest
from bier.method.losses.relations import same_and_different
from bier.training.batch import WholeBatch
from bier.training.best_epoch import BestEpoch
from bier.training.callbacks import Step
from bier.training.hard_pairs import HardPairs
from bier.training.step import Update

WEIGHT_EDGES = np.linspace(0.0, 2.0, 21)


@dataclass
class Sums:
    """What the batches of the current epoch add up to."""

    batches: int = 0
    images: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    diversity: float = 0.0
    learner_losses: list[float] = field(default_factory=list)
    positive: list[list[int]] = field(default_factory=list)
    negative: list[list[int]] = field(default_factory=list)
    hardest: HardPairs = field(default_factory=HardPairs)
    """For the last learner."""

    def add(self, update: Update, batch: WholeBatch, seconds: float) -> None:
        boosted = update.boosted
        losses = boosted.losses.tolist()
        self.learner_losses = [a + b for a, b in zip(self.learner_losses or [0.0] * len(losses), losses, strict=True)]
        self.batches += 1
        self.images += len(batch)
        self.seconds += seconds
        self.loss += update.loss
        self.diversity += update.diversity
        if len(boosted.weights):
            self._count(boosted.weights, batch.labels.to(boosted.weights[0].device))
            if boosted.weights[-1].shape == (len(batch.labels),) * 2:
                self.hardest.add(boosted.weights[-1], batch.labels, batch.index)

    def _count(self, weights: Sequence[Tensor], labels: Tensor) -> None:
        same, negative = same_and_different(labels)
        same.fill_diagonal_(False)
        if not self.positive:
            self.positive = [[0] * (len(WEIGHT_EDGES) - 1) for _ in weights]
            self.negative = [[0] * (len(WEIGHT_EDGES) - 1) for _ in weights]
        for m, weight in enumerate(weights):
            if weight.shape != same.shape:  # of images with proxies, or of other terms than pairs
                _histogram(weight, self.positive[m])
            else:
                _histogram(weight[same], self.positive[m])
                _histogram(weight[negative], self.negative[m])

    def means(self) -> dict[str, Any]:
        """Of the batches so far; and how fast they went."""
        n = max(1, self.batches)
        return {
            "loss": self.loss / n,
            "learner_losses": [value / n for value in self.learner_losses],
            "diversity": self.diversity / n,
            "images_per_second": self.images / max(self.seconds, 1e-9),
        }

    def summary(self) -> dict[str, Any]:
        """What the history keeps of them."""
        return {
            **self.means(),
            "seconds": self.seconds,
            "weights": {"edges": WEIGHT_EDGES.tolist(), "positive": self.positive, "negative": self.negative},
        }


def _histogram(values: Tensor, counts: list[int]) -> None:
    found, _ = np.histogram(values.clamp(0, float(WEIGHT_EDGES[-1])).cpu().numpy(), WEIGHT_EDGES)
    for i, count in enumerate(found.tolist()):
        counts[i] += count


@dataclass
class Progress:
    """Where a run stands; saved in every checkpoint."""

    epoch: int = 0
    """Epochs that are complete."""
    batch: int = 0
    """Batches of the current epoch that are complete."""
    step: int = 0
    best: BestEpoch = field(default_factory=BestEpoch)
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: Sums = field(default_factory=Sums)
    unreadable: list[str] = field(default_factory=list)
    stopping: bool = False
    """Whether a callback has asked that the current epoch be the last one."""
    stopped_early: bool = False
    """Whether a callback made the last complete epoch the last of all."""

    def last_step(self, rate: float, seconds_left: float) -> Step:
        """What callbacks hear of the step that was just made."""
        means = self.sums.means()
        return Step(
            number=self.step,
            epoch=self.epoch + 1,
            batch=self.batch,
            rate=rate,
            seconds_left=seconds_left,
            **{**means, "learner_losses": tuple(means["learner_losses"])},
        )

    def record(self, manifest: Manifest, learning_rate: float) -> dict[str, Any]:
        """The line of the history for the epoch that was just made, without its validation."""
        return {
            "epoch": self.epoch + 1,
            "step": self.step,
            **self.sums.summary(),
            "hardest": self.sums.hardest.summary(manifest),
            "learning_rate": learning_rate,
        }

    def end_epoch(self, record: dict[str, Any], kept: bool) -> None:
        """Add its line to the history; ``kept`` says whether the model's weights are those after this epoch."""
        self.history.append(record)
        self.tell_kept(record, kept)
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, Sums()

    def tell_kept(self, record: dict[str, Any], kept: bool) -> None:
        """Say of the last line whether the model's weights are those after its epoch."""
        for earlier in self.history[:-1]:
            earlier["kept"] = earlier["kept"] and not kept
        record["kept"] = kept

    @staticmethod
    def from_dict(content: dict[str, Any]) -> Progress:
        sums = {**content["sums"], "hardest": HardPairs(**content["sums"].get("hardest", {}))}
        return Progress(**{**content, "sums": Sums(**sums), "best": BestEpoch(**content["best"])})
