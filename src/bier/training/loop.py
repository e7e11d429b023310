"""Training: a step, an epoch, a run that can be interrupted anywhere and goes on bit for bit.

Everything that happens in a step is a function of the settings, the seed and the step's number: the batch plan, the
augmentation and the generator are seeded from it. So a checkpoint needs weights, optimiser state and two counters.

With several processes each sees a share of every batch, and all of them the features of the whole: boosting compares
all pairs, as one process would. Rank 0 writes the files and calls the callbacks.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from bier.errors import ImageError, NonFiniteLossError
from bier.network.model_file import save_model
from bier.records.folder import RunFolder
from bier.records.history import Epoch
from bier.records.reading import from_json
from bier.training.batch import WholeBatch
from bier.training.callbacks import Callback, Callbacks, Running
from bier.training.job import Job
from bier.training.progress import Progress
from bier.training.state import restore, save_checkpoint, write_history
from bier.training.step import NotFinite, step
from bier.training.stopping import Interrupted, stop_requested
from bier.training.time_left import TimeLeft
from bier.training.validation import validate

TRACE_EVERY = 4
"""One batch in four has its boosting weights counted, and its hardest pairs noted, for the report."""


def run(
    job: Job, callbacks: Sequence[Callback] = (), *, settings: Mapping[str, Any] | None = None, resume: bool = False
) -> Progress:
    """Train to the end, until a callback stops it early, or until asked to stop.

    Args:
        job: what is trained.
        callbacks: watch the run, on rank 0.
        settings: what callbacks may record of the run's settings.
        resume: go on from the newest checkpoint in the job's folder that is whole.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, with a checkpoint saved.
        NonFiniteLossError: before the update that would have used a NaN or infinite loss or gradient.
        StorageError: a checkpoint could not be written; the one before it stands.
    """
    progress, note = restore(job) if resume else (Progress(), None)
    batches = len(job.pictures.plan)
    running = Running(
        job.folder, settings or {}, job.learning.model, job.epochs, batches, progress.step, progress.stopping
    )
    watching = Callbacks(callbacks if job.hardware.processes.first else ())
    error: BaseException | None = None
    if not resume:
        save_checkpoint(job, progress)  # a run whose callbacks cannot start can be resumed, too
    try:
        watching.on_start(running)
        if note is not None:
            watching.on_message(running, note)
        with stop_requested(alone=job.hardware.processes.world == 1) as stop:
            if not job.epochs:
                _keep_start(job, progress, running, watching, stop)
            time_left = TimeLeft(job)
            while progress.epoch < job.epochs and not progress.stopped_early:
                _Epoch(job, progress, running, watching, time_left).run(stop)
    except BaseException as caught:
        error = caught
        raise
    finally:
        watching.on_end(running, error)
    return progress


def _keep_start(job: Job, progress: Progress, running: Running, callbacks: Callback, stop: Callable[[], bool]) -> None:
    """Of a run without training: the model as it starts, and its validation, as epoch 0."""
    record: dict[str, Any] = {"epoch": 0, "kept": True}
    if job.pictures.validation is not None:
        record["validation"], _ = validate(job, job.pictures.validation, stop)
        callbacks.on_validation(running, record["validation"])
    progress.history = [record]
    if job.hardware.processes.first:
        _save_model(job)
        write_history(job.folder, progress.history)


def _save_model(job: Job) -> None:
    save_model(RunFolder(job.folder).model, job.learning.model, job.pictures.test_view.described)


class _Epoch:
    """One epoch of a run, from its first batch or from where it was interrupted."""

    def __init__(
        self, job: Job, progress: Progress, running: Running, callbacks: Callback, time_left: TimeLeft
    ) -> None:
        self.job, self.progress, self.running, self.callbacks = job, progress, running, callbacks
        self.time_left = time_left
        self.pictures, self.processes = job.pictures, job.hardware.processes

    def run(self, stop: Callable[[], bool]) -> None:
        job, progress, epoch = self.job, self.progress, self.progress.epoch
        job.learning.model.train()
        saved, began = time.monotonic(), time.monotonic()
        for batch in self.pictures.batches(epoch, progress.batch, seed=job.seed, workers=job.hardware.workers):
            self._note_unreadable(batch.failed)
            whole = WholeBatch.of(batch, self.processes, self.pictures.relations)
            if whole.comparable():
                self._step(whole, began)
            began = time.monotonic()
            progress.step += 1
            progress.batch += 1
            self._tell_step()
            if self.processes.any(stop()):
                self._interrupt()
            if time.monotonic() - saved >= job.checkpoint_seconds:
                save_checkpoint(job, progress)
                saved = time.monotonic()
        try:
            self._finish(stop)
        except Interrupted:  # while validating, which a resumed run does again
            self._interrupt()
        if self.processes.any(stop()):
            raise Interrupted

    def _interrupt(self) -> NoReturn:
        save_checkpoint(self.job, self.progress)
        self.processes.wait()  # whoever leaves first has the others stopped
        raise Interrupted

    def _step(self, batch: WholeBatch, began: float) -> None:
        job, progress = self.job, self.progress
        try:
            update = step(
                job.learning,
                job.hardware,
                batch,
                factor=job.rate(progress.step),
                seed=(job.seed + (self.processes.rank << 32)) * 1_000_003 + progress.step,
                trace=progress.batch % TRACE_EVERY == 0,
            )
        except NotFinite as error:
            raise self._non_finite(error) from None
        progress.sums.add(update, batch, time.monotonic() - began)

    def _tell_step(self) -> None:
        progress = self.progress
        self.running.step = progress.step
        if progress.sums.batches:
            rate = self.job.rate(progress.step - 1)
            self.callbacks.on_step(self.running, progress.last_step(rate, self.time_left.after_a_step(progress)))
        progress.stopping = self.running.stopping

    def _tell_validation(self, done: int, total: int, spent: float) -> None:
        left = self.time_left.while_validating(self.progress, done, spent)
        self.callbacks.on_validating(self.running, done, total, left)

    def _note_unreadable(self, failed: Sequence[ImageError]) -> None:
        for error in failed:
            if str(error.where) not in self.progress.unreadable:
                self.progress.unreadable.append(str(error.where))
                self.callbacks.on_message(self.running, f"left out: {error.where}: {error.what}")

    def _non_finite(self, error: NotFinite) -> NonFiniteLossError:
        names = [self.pictures.train.reference(row) for row in error.rows]
        shown = "\n    ".join(names[:8]) + (f"\n    and {len(names) - 8} more" if len(names) > 8 else "")
        return NonFiniteLossError(
            f"{error.what} in epoch {self.progress.epoch + 1}, batch {self.progress.batch + 1}; no update was made. "
            f"Images:\n    {shown}",
            where=self.job.folder,
            remedy="look at these images; lower optimizer.learning_rate, or set optimizer.clip_norm=1",
        )

    def _finish(self, stop: Callable[[], bool]) -> None:
        job, progress = self.job, self.progress
        self._gather_unreadable()
        peak = max(group["peak_lr"] for group in job.learning.optimizer.param_groups)
        record = progress.record(self.pictures.train, job.rate(progress.step - 1) * peak)
        epoch = progress.epoch + 1
        judged = epoch in job.validated() or self.processes.any(self.running.stopping)
        keep = self._judge(record, stop) if judged else not progress.best.epoch
        self._keep(keep)
        progress.end_epoch(record, keep)
        if self.processes.first:
            write_history(job.folder, progress.history)
        self.callbacks.on_epoch(self.running, from_json(Epoch, progress.history[-1]))
        stopped_early = self.processes.any(self.running.stopping) and progress.epoch < job.epochs
        if stopped_early and not judged:
            self._judge_last(stop)
        progress.stopped_early = stopped_early
        save_checkpoint(job, progress)

    def _judge(self, record: dict[str, Any], stop: Callable[[], bool]) -> bool:
        """Validate the epoch of the record, and write into that how good it is; tells whether to keep the epoch."""
        if self.pictures.validation is None:
            return True  # with nothing to choose by, the last epoch
        record["validation"], by_class = validate(self.job, self.pictures.validation, stop, self._tell_validation)
        self.callbacks.on_validation(self.running, record["validation"])
        return self.progress.best.offer(record["epoch"], by_class)

    def _judge_last(self, stop: Callable[[], bool]) -> None:
        """Validate an epoch that has only now turned out to be the last."""
        record = self.progress.history[-1]
        keep = self._judge(record, stop)
        self._keep(keep)
        self.progress.tell_kept(record, keep)
        if self.processes.first:
            write_history(self.job.folder, self.progress.history)

    def _keep(self, keep: bool) -> None:
        if keep and self.processes.first:
            _save_model(self.job)

    def _gather_unreadable(self) -> None:
        """What other processes have met."""
        for name in itertools.chain(*self.processes.gather_objects(self.progress.unreadable)):
            if name not in self.progress.unreadable:
                self.progress.unreadable.append(name)
                self.callbacks.on_message(self.running, f"left out: {name}")
