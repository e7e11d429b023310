"""Training: a step, an epoch, a run that can be interrupted anywhere and goes on bit for bit.

Everything that happens in a step is a function of the settings, the seed and the step's number: the batch plan, the
augmentation and the generator are seeded from it. So a checkpoint needs weights, optimiser state and two counters.

With several processes each sees a share of every batch, and all of them the features of the whole: boosting compares
all pairs, as one process would. The first writes the files.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from bier.data import train_loader
from bier.errors import ImageError
from bier.network.model_file import save_model
from bier.records.folder import RunFolder
from bier.training.batch import WholeBatch
from bier.training.job import Job
from bier.training.progress import Listener, Progress, Sums
from bier.training.state import restore, save_checkpoint, write_history
from bier.training.step import step
from bier.training.stopping import Interrupted, stop_requested
from bier.training.validation import validate


def run(job: Job, listener: Listener, resume: bool = False) -> Progress:
    """Train to the end, or until asked to stop.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, with a checkpoint saved.
        NonFiniteLossError: before the update that would have used a NaN or infinite loss or gradient.
        StorageError: a checkpoint could not be written; the one before it stands.
    """
    progress = restore(job) if resume else Progress()
    with stop_requested(alone=job.processes.world == 1) as stop:
        if not resume:
            save_checkpoint(job, progress)
        while progress.epoch < job.epochs:
            _epoch(job, progress, listener, stop)
    return progress


def _epoch(job: Job, progress: Progress, listener: Listener, stop: Callable[[], bool]) -> None:
    epoch = progress.epoch
    batches = len(job.plan.epoch(epoch))
    listener.begin_epoch(epoch + 1, batches, progress.batch)
    job.model.train()
    saved, began = time.monotonic(), time.monotonic()
    for batch in train_loader(
        job.train, job.plan, job.transform, seed=job.seed, epoch=epoch, start_batch=progress.batch, workers=job.workers
    ):
        _note_unreadable(progress, batch.failed, listener)
        factor = job.rate(progress.step)
        whole = WholeBatch.of(batch, job.processes)
        if whole.labels.unique().numel() > 1:  # else nothing readable is left to compare
            loss, diversity = step(job, whole, factor, progress)
            progress.sums.add(loss, diversity, job.boost.last, whole, time.monotonic() - began)
        began = time.monotonic()
        progress.step += 1
        progress.batch += 1
        listener.step(progress, factor)
        if job.processes.any(stop()):
            save_checkpoint(job, progress)
            job.processes.wait()  # whoever leaves first has the others stopped
            raise Interrupted
        if time.monotonic() - saved >= job.checkpoint_seconds:
            save_checkpoint(job, progress)
            saved = time.monotonic()
    _finish_epoch(job, progress, listener)


def _note_unreadable(progress: Progress, failed: Sequence[ImageError], listener: Listener) -> None:
    for error in failed:
        if str(error.where) not in progress.unreadable:
            progress.unreadable.append(str(error.where))
            listener.message(f"left out: {error.where}: {error.what}")


def _finish_epoch(job: Job, progress: Progress, listener: Listener) -> None:
    for name in itertools.chain(*job.processes.gather_objects(progress.unreadable)):
        if name not in progress.unreadable:  # what others have met
            progress.unreadable.append(name)
            listener.message(f"left out: {name}")
    record = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        **progress.sums.summary(),
        "hardest": progress.sums.hardest.summary(job.train),
        "learning_rate": job.rate(progress.step - 1) * max(group["peak_lr"] for group in job.optimizer.param_groups),
    }
    keep = True  # with nothing to choose by, the last epoch
    if job.validation is not None:
        record["validation"], by_class = validate(job, job.validation)
        keep = progress.best.offer(progress.epoch + 1, by_class)
    if keep and job.processes.first:
        save_model(RunFolder(job.folder).model, job.model, job.image)
    for earlier in progress.history:
        earlier["kept"] = earlier["kept"] and not keep
    progress.history.append({**record, "kept": keep})
    progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, Sums()
    if job.processes.first:
        write_history(job.folder, progress.history)
    save_checkpoint(job, progress)
    listener.end_epoch(record, keep)
