"""A run on Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bier.system.extras import need
from bier.training.callbacks import Callback, Running, Step, figures


class WeightsAndBiases(Callback):
    """Settings, curves and the outcome of a run, under its folder's name. Needs the extra ``tracking``.

    Offline, with ``WANDB_MODE=offline`` or ``mode="offline"``, they wait in ``FOLDER/wandb`` for ``wandb sync``.
    A run that goes on is the same run there.

    Args:
        options: of ``wandb.init``, such as ``project`` or ``tags``.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, **options: Any) -> None:
        self.options = {"project": "bier", **options}
        self.client = need("wandb", "tracking")

    def on_start(self, run: Running) -> None:
        identity = self.client.util.generate_id()
        remembered = run.folder / "wandb-run.txt"
        if run.step and remembered.is_file():
            identity = remembered.read_text(encoding="utf-8").strip()
        run.folder.mkdir(parents=True, exist_ok=True)
        remembered.write_text(identity, encoding="utf-8")
        self.run = self.client.init(
            **{
                "id": identity,
                "resume": "allow",
                "name": run.folder.name,
                "dir": str(run.folder),
                "config": figures.flat(run.settings),
                **self.options,
            }
        )

        # Its own count of steps only grows, and a run that goes on makes some steps again.
        self.run.define_metric("*", step_metric="step")

    def on_step(self, run: Running, step: Step) -> None:
        self.run.log({"step": step.number, **figures.of_step(step)})

    def on_epoch(self, run: Running, record: Mapping[str, Any]) -> None:
        self.run.log({"step": record["step"], "epoch": record["epoch"], **figures.of_epoch(record)})

    def on_end(self, run: Running, error: BaseException | None) -> None:
        self.run.finish(exit_code=int(error is not None))
