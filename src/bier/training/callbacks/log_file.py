"""What a run said, with the time, in a file beside its model."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from bier.errors import StorageError
from bier.records.history import Epoch
from bier.system.files import storage_errors
from bier.training.callbacks import Callback, Running
from bier.training.callbacks.progress_bar import describe_epoch


class LogFile(Callback):
    """Appends to a file; a run that goes on goes on in it. Raises StorageError where that is not possible."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        self._append(describe_epoch(run, epoch))

    def on_message(self, run: Running, text: str) -> None:
        self._append(text)

    def on_end(self, run: Running, error: BaseException | None) -> None:
        if error is not None:
            with suppress(StorageError):  # what ended the run matters more
                self._append(f"stopped: {type(error).__name__} {error}")

    def _append(self, text: str) -> None:
        now = datetime.now().isoformat(sep=" ", timespec="milliseconds")
        with storage_errors(self.path, "cannot be written"), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{now} {text}\n")
