"""What a person sees of a training run: a progress bar, lines, a log file, TensorBoard."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch.utils.tensorboard import SummaryWriter

from bier.records.folder import RunFolder
from bier.training.progress import Progress as TrainingProgress

LINE_SECONDS = 30.0
"""Where there is no terminal, a line this often instead of a bar."""


class Silence:
    """A listener that says nothing: all processes but the first have one."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *error: object) -> None: ...
    def begin_epoch(self, epoch: int, batches: int, done: int) -> None: ...
    def step(self, progress: TrainingProgress, rate: float) -> None: ...
    def end_epoch(self, record: dict[str, Any], kept: bool) -> None: ...
    def message(self, text: str) -> None: ...


class Monitor:
    """Shows and records a run; a :class:`bier.training.progress.Listener` and a context manager."""

    def __init__(self, folder: Path, epochs: int, console: Console, step: int = 0) -> None:
        self.epochs, self.console = epochs, console
        self.writer = SummaryWriter(str(RunFolder(folder).tensorboard), purge_step=step or None)
        self.log = _log_file(RunFolder(folder).log)
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=8),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[text]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=1, epoch="", text="")
        self.batches = 1
        self.last_line = time.monotonic()

    def __enter__(self) -> Monitor:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        if error is not None:
            self.log.info("stopped: %s %s", type(error).__name__, error)
        self.writer.close()
        for handler in list(self.log.handlers):
            handler.close()
            self.log.removeHandler(handler)

    def begin_epoch(self, epoch: int, batches: int, done: int) -> None:
        self.batches = batches
        self.bar.reset(self.task, total=batches, completed=done, epoch=f"{epoch}/{self.epochs}", text="")

    def step(self, progress: TrainingProgress, rate: float) -> None:
        sums = progress.sums
        if not sums.batches:
            return
        summary = sums.summary()
        losses = " ".join(f"{value:.3f}" for value in summary["learner_losses"])
        left = (self.batches - progress.batch) * sums.seconds / sums.batches
        speed = f"{summary['images_per_second']:.0f} images/s, {left:.0f} s left"
        text = f"loss {summary['loss']:.3f} ({losses})  {speed}"
        self.bar.update(self.task, completed=progress.batch, text=text)
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_SECONDS:
            self.last_line = time.monotonic()
            self.message(f"  epoch {progress.epoch + 1}: {progress.batch}/{self.batches}  {text}")
        self.writer.add_scalar("train/learning_rate_factor", rate, progress.step)
        self.writer.add_scalar("train/loss", sums.loss / sums.batches, progress.step)

    def end_epoch(self, record: dict[str, Any], kept: bool) -> None:
        losses = " ".join(f"{value:.3f}" for value in record["learner_losses"])
        line = (
            f"epoch {record['epoch']:>{len(str(self.epochs))}}/{self.epochs}  loss {record['loss']:.4f} "
            f"(learners {losses})  {record['images_per_second']:.0f} images/s, {record['seconds']:.0f} s"
        )
        if "validation" in record:
            recall, map_at_r = (100 * record["validation"][name] for name in ("recall@1", "map_at_r"))
            line += f"  validation Recall@1 {recall:.1f} %, MAP@R {map_at_r:.1f} %{'  kept' if kept else ''}"
            for name, value in record["validation"].items():
                self.writer.add_scalar(f"validation/{name}", value, record["step"])
        for m, value in enumerate(record["learner_losses"], 1):
            self.writer.add_scalar(f"train/loss_learner_{m}", value, record["step"])
        self.writer.add_scalar("train/diversity", record["diversity"], record["step"])
        self.message(line)

    def message(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self.log.info(text)


def _log_file(path: Path) -> logging.Logger:
    log = logging.getLogger(f"bier.run.{path.parent}")
    log.propagate = False
    log.setLevel(logging.INFO)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    return log
