"""Train a run's folder from its settings, to the end or from its last checkpoint."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path

import torch
from rich.console import Console

from bier.data import BatchPlan, Manifest, open_source, with_distractors
from bier.errors import ConfigError, DataError, ModelError
from bier.records.folder import RunFolder, refuse_to_overwrite
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance
from bier.runs import build, optimization
from bier.runs.evaluation import evaluate
from bier.runs.machine import resolved, set_threads
from bier.runs.provenance import now, provenance_of
from bier.runs.splits import has_test, held_out, test_part
from bier.runs.start import prepare_head
from bier.settings.reading import load, save
from bier.settings.schema import Config
from bier.system.files import write_atomically
from bier.system.processes import Processes
from bier.system.tensors import STATE_FORMAT, read_description
from bier.training.job import Job
from bier.training.loop import run
from bier.training.monitor import Monitor, Silence


def train(
    source: str,
    config: Config,
    folder: Path,
    console: Console,
    *,
    resume: bool = False,
    evaluate_after: bool = True,
) -> Metrics | None:
    """Train on a source and fill the run's folder; returns the test metrics where the source has test images.

    Raises:
        BierError: any of its kinds; `Interrupted` after a checkpoint was saved on request.
    """
    began = time.monotonic()
    processes = Processes.joined()
    console = console if processes.first else Console(quiet=True)
    manifest = held_out(open_source(source, config.data), config, console)
    config = resolved(config)
    set_threads(config)
    if not resume:
        refuse_to_overwrite(folder)
    job = build_job(manifest, config, folder, processes)
    describe(job, manifest, console)
    if resume:
        provenance = _same_data(folder, manifest)
    else:
        prepare_head(job, config, console)
        provenance = provenance_of(source, manifest, config, job)
        if processes.first:
            write_atomically(RunFolder(folder).config, lambda file: save(config, file))
            provenance.save(folder)
    start = _saved_step(folder) if resume else 0
    listener = Monitor(folder, config.optimizer.epochs, console, start) if processes.first else Silence()
    with listener:
        progress = run(_without_diversity(job, config), listener, resume)
    if job.validation is not None:
        scores = progress.history[progress.best.epoch - 1]["validation"]
        console.print(
            f"epoch {progress.best.epoch} is kept, with Recall@1 {100 * scores['recall@1']:.1f} % and MAP@R "
            f"{100 * scores['map_at_r']:.1f} % on the validation classes"
        )
    provenance = dataclasses.replace(
        provenance,
        seconds=round((provenance.seconds or 0) + time.monotonic() - began, 1),
        best_epoch=progress.best.epoch or progress.epoch,
        unreadable=tuple(progress.unreadable),
        finished=now(),
    )
    if processes.first:
        provenance.save(folder)
        RunFolder(folder).checkpoint.unlink(missing_ok=True)
    processes.wait()  # for the model, which all of them read
    if not evaluate_after or not has_test(manifest):
        return None
    return evaluate(folder, None, console, manifest=manifest)


def evaluate_if_tested(folder: Path, console: Console) -> Metrics | None:
    """`evaluate` a run on its own source, or nothing where that has no test images."""
    config = load(RunFolder(folder).config)
    manifest = held_out(open_source(Provenance.load(folder).data.path, config.data), config, console)
    return evaluate(folder, None, console, manifest=manifest) if has_test(manifest) else None


def resume(folder: Path, console: Console, *, evaluate_after: bool = True) -> Metrics | None:
    """Go on with an interrupted run from its last checkpoint, with its own settings and source."""
    provenance = Provenance.load(folder)
    if provenance.finished is not None:
        raise ConfigError("this run is complete", where=folder, remedy=f"look at it with: bier report {folder}")
    if not RunFolder(folder).checkpoint.is_file():
        raise ModelError("no checkpoint to go on from", where=folder, remedy="start again in another folder")
    config = load(RunFolder(folder).config)
    return train(provenance.data.path, config, folder, console, resume=True, evaluate_after=evaluate_after)


def describe(job: Job, manifest: Manifest, console: Console) -> None:
    counts = ", ".join(
        f"{len(part):,} {name} of {len(part.classes()):,} classes"
        for name, part in (
            ("training images", job.train),
            ("for validation", manifest.only("val")),
            ("for testing", test_part(manifest)),
        )
        if len(part)
    )
    console.print(f"{manifest.source}: {counts}", highlight=False, soft_wrap=True)
    console.print(
        f"{job.model.backbone.name} at {job.image['size']} px, learners of "
        f"{' + '.join(map(str, job.model.head.sizes))} dimensions, {type(job.boost.loss).__name__} boosted "
        f"{job.boost.schedule}, {job.epochs} epochs of {len(job.plan)} batches on {job.device.type}",
        highlight=False,
        soft_wrap=True,
    )


def build_job(manifest: Manifest, config: Config, folder: Path, processes: Processes) -> Job:
    training = manifest.only("train")
    if not len(training):
        raise DataError("no training images", where=manifest.source, remedy="lower data.test_classes or mend `split`")
    if not config.optimizer.freeze_batch_norm and (config.hardware.images_at_once is not None or processes.world > 1):
        raise ConfigError(
            "batch norm would see parts of a batch",
            where="optimizer.freeze_batch_norm",
            remedy="set it to true, or use one process and leave hardware.images_at_once out",
        )
    validation = manifest.only("val")
    if len(validation) and max(Counter(validation.label.tolist()).values()) < 2:
        raise DataError(
            "no class of the split 'val' has two images, so nothing could be found there",
            where=manifest.source,
            remedy="give validation classes of two images or more, or leave 'val' out: classes are then held out",
        )
    device = build.device(config)
    size = build.image_size(config, device)
    plan = BatchPlan(
        training.codes(),
        config.data.classes_per_batch,
        config.data.images_per_class,
        config.seed,
        processes.rank,
        processes.world,
    )
    images = plan.classes_per_batch // processes.world * plan.images_per_class
    model = build.model(config)
    boost = build.boosting(config, model.head.sizes, len(training.classes()))
    diversity = build.diversity(config, model.head.sizes)
    model.to(device)
    if config.hardware.channels_last:
        model.to(memory_format=torch.channels_last)
    proxies = [*boost.to(device).parameters()]
    extra = [] if diversity is None else [*diversity.to(device).parameters()]
    return Job(
        folder=folder,
        model=model,
        backbone=build.training_backbone(config, model, device, images),
        boost=boost,
        diversity=diversity,
        optimizer=optimization.optimizer(config.optimizer, model, proxies, extra),
        rate=optimization.rate_schedule(config.optimizer, config.optimizer.epochs * len(plan)),
        train=training,
        validation=with_distractors(manifest, config.data.validation_gallery, config.seed) if len(validation) else None,
        plan=plan,
        transform=build.train_transform(config, size),
        test_transform=build.test_transform(config, size),
        image={"size": size, "fit": config.image.fit},
        epochs=config.optimizer.epochs,
        seed=config.seed,
        workers=build.workers(config),
        device=device,
        precision=build.precision(config, device),
        images_at_once=config.hardware.images_at_once,
        clip_norm=config.optimizer.clip_norm,
        checkpoint_seconds=config.checkpoint_seconds,
        processes=processes,
    )


def _without_diversity(job: Job, config: Config) -> Job:
    """Diversity may be wanted for initialisation alone."""
    return job if config.diversity.during_training else dataclasses.replace(job, diversity=None)


def _same_data(folder: Path, manifest: Manifest) -> Provenance:
    provenance = Provenance.load(folder)
    if provenance.data.fingerprint != manifest.fingerprint():
        raise DataError(
            "the images, labels or splits are not those that this run started with",
            where=provenance.data.path,
            remedy="restore them, or start a new run",
        )
    return provenance


def _saved_step(folder: Path) -> int:
    return int(read_description(RunFolder(folder).checkpoint, STATE_FORMAT)["step"])
