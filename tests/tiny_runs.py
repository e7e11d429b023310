"""Settings for a run of seconds, and something that happens in the middle of one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from bier.training.callbacks import Callback, Running, Step

TINY = {
    "loss.name": "binomial_deviance",
    "image": {"size": 32},
    "optimizer": {"epochs": 2},
    "data.classes_per_batch": 3,
    "data.images_per_class": 2,
    "data.workers": 0,
    "data.validation_classes": 0.4,
    "model.backbone": "test_resnet",  # a quarter of the time of the usual one
    "model.weights": "none",
    "model.sizes": [8, 16],
    "diversity.hidden": 16,
    "hardware.threads": 1,
    "hardware.precision": "float32",  # runs are compared to the bit, and a trial takes now this, now that
}
"""For ten classes of three or four pictures: three of them are trained on, in batches of six."""


class At(Callback):
    """Does something after a step."""

    def __init__(self, number: int, do: Callable[[Running], object]) -> None:
        self.number, self.do = number, do

    def on_step(self, run: Running, step: Step) -> None:
        if step.number == self.number:
            self.do(run)


def interrupt(run: Running) -> None:
    """As Ctrl-C or a shutting machine do."""
    os.kill(os.getpid(), signal.SIGTERM)


def fail(run: Running) -> None:
    raise ZeroDivisionError("a mistake in a callback")
