"""What a run said, with the time, in a file beside its model."""

from __future__ import annotations

import logging
from pathlib import Path

from bier.records.history import Epoch
from bier.training.callbacks import Callback, Running
from bier.training.callbacks.progress_bar import describe_epoch


class LogFile(Callback):
    """Appends to a file; a run that goes on goes on in it."""

    def __init__(self, path: Path) -> None:
        self.log = logging.getLogger(f"bier.run.{path.parent}")
        self.log.propagate = False
        self.log.setLevel(logging.INFO)
        self.path = path

    def on_start(self, run: Running) -> None:
        handler = logging.FileHandler(self.path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self.log.addHandler(handler)

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        self.log.info(describe_epoch(run, epoch))

    def on_message(self, run: Running, text: str) -> None:
        self.log.info(text)

    def on_end(self, run: Running, error: BaseException | None) -> None:
        if error is not None:
            self.log.info("stopped: %s %s", type(error).__name__, error)
        for handler in list(self.log.handlers):
            handler.close()
            self.log.removeHandler(handler)
