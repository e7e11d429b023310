"""Settings with all that depends on the machine or the backbone filled in, or left out."""

from __future__ import annotations

import torch

from bier.runs import build
from bier.runs.habits import with_habits
from bier.runs.prepared import placed
from bier.settings.schema import Config
from bier.system.hardware import Hardware

FEWEST_VALIDATIONS = 3
"""Of which one can tell whether figures still rise."""


def resolved(config: Config, hardware: Hardware) -> Config:
    """The settings with everything that depends on machine or backbone filled in, as they are kept with the run."""
    return with_habits(placed(config)).replace(
        image__size=build.image_size(config, hardware.device),
        data__workers=hardware.workers,
        data__validations=config.data.validations or validations(config),
        hardware__device=hardware.device.type,
        hardware__precision=hardware.precision_name,
        hardware__threads=config.hardware.threads or torch.get_num_threads(),
    )


def validations(config: Config) -> int:
    """After how many epochs a run is validated, where the settings do not say it."""
    epochs = max(1, config.optimizer.epochs)
    return epochs if config.model.frozen else min(epochs, max(FEWEST_VALIDATIONS, epochs // 3))


def portable(config: Config) -> Config:
    """The settings of a run without those of the machine that it ran on."""
    return config.replace(
        hardware__device="auto", hardware__precision="auto", hardware__threads=None, data__workers=None
    )


def set_threads(config: Config) -> None:
    if config.hardware.threads is not None:
        torch.set_num_threads(config.hardware.threads)
