"""A run's curves for TensorBoard."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from bier.errors import StorageError
from bier.records.history import Epoch
from bier.system.files import storage_errors
from bier.training.callbacks import Callback, Running, Step, figures


class TensorBoard(Callback):
    """Writes event files into a folder; a run that goes on replaces what came after its checkpoint.

    Raises StorageError where they cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_start(self, run: Running) -> None:
        with self._errors():
            self._wait_for_a_later_name()
            self.writer = SummaryWriter(str(self.folder), purge_step=run.step + 1)  # steps count from 1
        self._hook, threading.excepthook = threading.excepthook, self._hear

    def on_step(self, run: Running, step: Step) -> None:
        self._write(figures.of_step(step), step.number)

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        self._write(figures.of_epoch(epoch), epoch.step)

    def on_end(self, run: Running, error: BaseException | None) -> None:
        try:
            with suppress(*[StorageError] * (error is not None)), self._errors():  # what ended the run matters more
                self.writer.close()
        finally:
            threading.excepthook = self._hook

    def _write(self, values: Mapping[str, float], step: int) -> None:
        with self._errors():
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def _wait_for_a_later_name(self) -> None:
        """TensorBoard reads files in the order of their names, which begin with the second they were made in."""
        while any(self.folder.glob(f"events.out.tfevents.{int(time.time())}.*")):
            time.sleep(0.05)

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self.folder, "cannot be written")

    def _hear(self, args: threading.ExceptHookArgs) -> None:
        """The writer's thread prints its error, and the writer raises it again: once is enough."""
        if not isinstance(args.exc_value, OSError) or type(args.thread).__name__ != "_AsyncWriterThread":
            self._hook(args)
