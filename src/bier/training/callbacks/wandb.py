"""A run on Weights & Biases."""

from __future__ import annotations

import uuid
from typing import Any

from bier.errors import ConfigError
from bier.records.history import Epoch
from bier.system.extras import need
from bier.system.files import write_text
from bier.training.callbacks import Callback, Running, Step, figures


class WeightsAndBiases(Callback):
    """Settings and curves of a run, under its folder's name. Needs the extra ``tracking``.

    Offline, with ``WANDB_MODE=offline`` or ``mode="offline"``, they wait in ``FOLDER/wandb`` for ``wandb sync``.
    A run that goes on is the same run there: its identity is kept in ``wandb-run.txt`` in its folder.

    Args:
        options: of ``wandb.init``, such as ``project`` or ``tags``.

    Raises:
        ConfigError: the package is not installed, or the service refuses the run.
    """

    def __init__(self, **options: Any) -> None:
        self.options = {"project": "bier", **options}
        self.client = need("wandb", "tracking")

    def on_start(self, run: Running) -> None:
        remembered = run.folder / "wandb-run.txt"
        if not remembered.is_file():
            write_text(remembered, uuid.uuid4().hex[:8])
        about = {
            "id": remembered.read_text(encoding="utf-8").strip(),
            "resume": "allow",
            "name": run.folder.name,
            "dir": str(run.folder),
            "config": figures.flat(run.settings),
        }
        try:
            self.run = self.client.init(**{**about, **self.options})
        except self.client.Error as error:
            raise ConfigError(
                str(error), where="Weights & Biases", remedy="log in with: wandb login; or set WANDB_MODE=offline"
            ) from error
        # Its own count of steps only grows, and a run that goes on makes some steps again.
        self.run.define_metric("*", step_metric="step")

    def on_step(self, run: Running, step: Step) -> None:
        self.run.log({"step": step.number, **figures.of_step(step)})

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        self.run.log({"step": epoch.step, "epoch": epoch.epoch, **figures.of_epoch(epoch)})

    def on_end(self, run: Running, error: BaseException | None) -> None:
        self.run.finish(exit_code=int(error is not None))
