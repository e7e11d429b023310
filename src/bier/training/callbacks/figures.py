"""The figures of a run under the names that every tracking service gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bier.records.history import Epoch
from bier.training.callbacks import Step


def of_step(step: Step) -> dict[str, float]:
    return {"train/learning_rate_factor": step.rate, "train/loss": step.loss}


def of_epoch(epoch: Epoch) -> dict[str, float]:
    learners = {f"train/loss_learner_{m}": value for m, value in enumerate(epoch.learner_losses, 1)}
    validation = {f"validation/{name}": value for name, value in (epoch.validation or {}).items()}
    return {**validation, **learners, "train/diversity": epoch.diversity}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found
