"""How far each step goes: further where pretrained features cannot tell new classes apart.

Pictures unlike those of pretraining want higher rates (Li et al., "Rethinking the Hyperparameters for Fine-tuning",
ICLR 2020). How well the features do without training tells whether they are.
"""

from __future__ import annotations

import time

import torch
from rich.console import Console

from bier.data import Manifest
from bier.runs.habits import filled
from bier.runs.trial import FEWEST_CLASSES, judged, score, some_images
from bier.settings.schema import Config
from bier.training.job import Job

FEW = 0.4
"""MAP@R without training, below which features find few pictures of new classes. Cars had 0.12 to 0.18, and 0.34 where
only five classes were searched; birds had 0.58."""
HIGHER = 2.0
"""Factor on the usual rate there (docs/experiments.md)."""
_SETTING = "optimizer.learning_rate"


def choose_rate(job: Job, config: Config, console: Console, found: float | None = None) -> Config:
    """The settings with a rate that suits the pictures in the place of the family's usual one.

    Whitening is fitted on some training classes and judged by MAP@R on others, among training images alone. Random
    weights keep the usual rate, and so do classes that are too few to judge.

    Args:
        job: what will be trained.
        config: where the rate was left out, and the family's was filled in.
        console: where to tell of it.
        found: that MAP@R, where another choice has measured it.
    """
    if not config.optimizer.epochs or config.model.weights == "none":
        return config
    began, usual = time.monotonic(), filled(config.optimizer.learning_rate)
    images = some_images(job.pictures.train, config.seed)
    if found is None:
        found = _found(job, images, config.seed, console)
    if found is None:
        console.print(
            f"{_SETTING}: {usual:g}, the usual one, since there are too few training classes of two readable images to "
            f"judge features (it takes {FEWEST_CLASSES})",
            soft_wrap=True,
        )
        return config
    found = job.hardware.processes.gather_objects(found)[0]
    few = found < FEW
    rate = HIGHER * usual if few else usual
    console.print(
        f"{_SETTING}: {rate:g}, {'twice ' * few}the usual one, since features find {'few' if few else 'many'} pictures "
        f"of new classes: {100 * found:.1f} % MAP@R without training on {len(images.classes()) // 2} training classes, "
        f"{time.monotonic() - began:.0f} s",
        soft_wrap=True,
    )
    return config.replace(optimizer__learning_rate=rate)


def _found(job: Job, images: Manifest, seed: int, console: Console) -> float | None:
    """MAP@R without training; nothing where too few images can be read."""
    if len(images.classes()) < FEWEST_CLASSES:
        return None
    with console.status(f"judging features of {len(images):,} images"), torch.random.fork_rng(devices=[]):
        tried = judged(job.learning.model, images, job.pictures.test_view, job.hardware)
        return None if tried is None else score(tried, job.learning.model.head, seed, _SETTING)
