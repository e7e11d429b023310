"""What a person sees of a run: a bar on a terminal, a line now and then elsewhere, a line for each epoch."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from bier.records.history import Epoch
from bier.system.console import plain_console
from bier.system.waiting import LINE_SECONDS, in_words
from bier.training.callbacks import Callback, Running, Step


class ProgressBar(Callback):
    """Shows a run on a console."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or plain_console()
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=8),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[text]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=1, epoch="", text="")
        self.last_line = time.monotonic()

    def on_start(self, run: Running) -> None:
        self.bar.update(self.task, total=run.batches)
        self.bar.start()

    def on_step(self, run: Running, step: Step) -> None:
        losses = " ".join(f"{value:.3f}" for value in step.learner_losses)
        speed = f"{step.images_per_second:.0f} images/s, {in_words(step.seconds_left)} left"
        text = f"loss {step.loss:.3f} ({losses})  {speed}"
        epoch = f"{step.epoch}/{run.epochs}"
        self.bar.update(self.task, total=run.batches, completed=step.batch, epoch=epoch, text=text)
        self._line(f"  epoch {epoch}: {step.batch}/{run.batches}  {text}")

    def on_validating(self, run: Running, done: int, total: int, seconds_left: float) -> None:
        text = f"images, {in_words(seconds_left)} left"
        self.bar.update(self.task, total=total, completed=done, text=f"{text} (validation)")
        self._line(f"  validation: {done:,}/{total:,} {text}")

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        self._print(describe_epoch(run, epoch))

    def on_message(self, run: Running, text: str) -> None:
        self._print(text)

    def on_end(self, run: Running, error: BaseException | None) -> None:
        self.bar.stop()

    def _line(self, text: str) -> None:
        """Now and then, where there is no bar."""
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_SECONDS:
            self.last_line = time.monotonic()
            self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)


def describe_epoch(run: Running, epoch: Epoch) -> str:
    """One line about an epoch."""
    losses = " ".join(f"{value:.3f}" for value in epoch.learner_losses)
    line = (
        f"epoch {epoch.epoch:>{len(str(run.epochs))}}/{run.epochs}  loss {epoch.loss:.4f} "
        f"(learners {losses})  {epoch.images_per_second:.0f} images/s, {epoch.seconds:.0f} s"
    )
    if epoch.validation:
        recall, map_at_r = (100 * epoch.validation[name] for name in ("recall@1", "map_at_r"))
        line += f"  validation Recall@1 {recall:.1f} %, MAP@R {map_at_r:.1f} %{'  kept' if epoch.kept else ''}"
    return line
