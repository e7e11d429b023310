"""The figures of a run under the names that every tracking service gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bier.training.callbacks import Step


def of_step(step: Step) -> dict[str, float]:
    return {"train/learning_rate_factor": step.rate, "train/loss": step.loss}


def of_epoch(record: Mapping[str, Any]) -> dict[str, float]:
    learners = {f"train/loss_learner_{m}": value for m, value in enumerate(record["learner_losses"], 1)}
    validation = {f"validation/{name}": value for name, value in record.get("validation", {}).items()}
    return {**validation, **learners, "train/diversity": record["diversity"]}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found
