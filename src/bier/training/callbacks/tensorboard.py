"""A run's curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from bier.records.history import Epoch
from bier.training.callbacks import Callback, Running, Step, figures


class TensorBoard(Callback):
    """Writes event files into a folder; a run that goes on replaces what came after its checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_start(self, run: Running) -> None:
        self.writer = SummaryWriter(str(self.folder), purge_step=run.step + 1)  # steps count from 1

    def on_step(self, run: Running, step: Step) -> None:
        self._write(figures.of_step(step), step.number)

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        self._write(figures.of_epoch(epoch), epoch.step)

    def on_end(self, run: Running, error: BaseException | None) -> None:
        self.writer.close()

    def _write(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
