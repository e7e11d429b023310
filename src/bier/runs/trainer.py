"""Train a run's folder from its settings, to the end or from its last checkpoint."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from bier.data import BatchPlan, Manifest, with_distractors
from bier.data.held_labels import mixes
from bier.data.marked_plan import MarkedPlan
from bier.data.plan import Plan
from bier.data.several_labels import LabelSets, checked_sets, label_entries
from bier.errors import ConfigError, DataError, ModelError, quoted
from bier.records.baseline import Baseline
from bier.records.folder import RunFolder, refuse_to_overwrite
from bier.records.lock import held
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance
from bier.runs import build, frozen, optimization
from bier.runs.baseline import measure_baseline
from bier.runs.confidence import calibrate_model
from bier.runs.evaluation import evaluate
from bier.runs.finish import refit_head
from bier.runs.fit import choose_fit
from bier.runs.habits import with_habits
from bier.runs.machine import resolved, set_threads
from bier.runs.marks import GivenMarks, TakenMarks, refuse_others, take_marks
from bier.runs.opening import opened
from bier.runs.pooling import choose_pooling
from bier.runs.precision import choose_precision, with_precision
from bier.runs.prepared import with_prepared
from bier.runs.provenance import now, provenance_of
from bier.runs.rate import choose_rate
from bier.runs.splits import has_test, held_out, overlaps, test_part, with_held_out
from bier.runs.start import START_IMAGES, prepare_head
from bier.settings.reading import load, save
from bier.settings.schema import Config
from bier.system.console import plain_console
from bier.system.files import write_atomically
from bier.system.hardware import Hardware
from bier.system.processes import ALONE, Processes
from bier.training.callbacks import Callback
from bier.training.callbacks.log_file import LogFile
from bier.training.callbacks.progress_bar import ProgressBar
from bier.training.callbacks.tensorboard import TensorBoard
from bier.training.job import Job, Learning, Pictures, Relations
from bier.training.loop import run
from bier.training.progress import Progress
from bier.vectors.strangers import strangers_beside


def train(
    source: str,
    config: Config,
    folder: Path,
    console: Console,
    *,
    processes: Processes = ALONE,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    evaluate_after: bool = True,
    features: Path | None = None,
    marks: GivenMarks | None = None,
) -> Metrics | None:
    """Train on a source and fill the run's folder; returns the test metrics where the source has test images.

    Args:
        source: of pictures.
        config: all settings.
        folder: of the run.
        console: where to tell of it, on rank 0.
        processes: share the work; each calls this alike.
        callbacks: watch the run, beside its progress bar, log and TensorBoard.
        resume: go on from the checkpoint in the folder.
        evaluate_after: measure the model on test images at the end.
        features: a folder where those of a frozen backbone stay, for other runs; by default in the run's folder, until
            it has ended.
        marks: pairs that people marked, beside labels; `resume` takes them from the run's folder.

    Raises:
        BierError: any of its kinds; ConfigError where another process works in the folder.
        Interrupted: after a checkpoint was saved on request.
    """
    with held(folder, processes):
        return _train(
            source,
            config,
            folder,
            console,
            processes,
            callbacks,
            resume=resume,
            evaluate_after=evaluate_after,
            features=features,
            marks=marks,
        )


def _train(
    source: str,
    config: Config,
    folder: Path,
    console: Console,
    processes: Processes,
    callbacks: Sequence[Callback],
    *,
    resume: bool,
    evaluate_after: bool,
    features: Path | None,
    marks: GivenMarks | None,
) -> Metrics | None:
    began = time.monotonic()
    console = console if processes.first else plain_console(quiet=True)
    config = config if resume else with_held_out(config)
    manifest = held_out(opened(source, config.data, console), config, console)
    hardware = build.hardware(config, processes)
    open_precision = config.hardware.precision == "auto"  # never where a run goes on
    open_rate = config.optimizer.learning_rate is None
    config = resolved(config, hardware)
    set_threads(config)
    if not resume:
        refuse_to_overwrite(folder)
        processes.wait()  # nobody writes before all have looked
    taken = None if marks is None else take_marks(marks, manifest, config.data.label_separator)
    job = build_job(manifest, config, folder, hardware, taken)
    announce(job, manifest, console)
    for line in () if taken is None else taken.in_words():
        console.print(line, soft_wrap=True)
    if warning := build.size_warning(config, job.pictures.test_view.size):
        console.print(warning, soft_wrap=True)
    evaluate_after = evaluate_after and has_test(manifest)
    untrained: float | None = None  # MAP@R, once a choice has measured it
    if not resume:
        config, untrained = choose_fit(job, config, console)
        if config.image.fit != job.pictures.test_view.fit:
            job = build_job(manifest, config, folder, hardware, taken)
    if config.data.prepared is not None:
        manifest = with_prepared(manifest, config, job.pictures.test_view.size, console, processes)
        taken = None if marks is None else take_marks(marks, manifest, config.data.label_separator)
        job = build_job(manifest, config, folder, hardware, taken)
    if not resume:
        given = config
        if open_precision:
            config = choose_precision(job, config, console)
            hardware = with_precision(hardware, config)
        config, pooled = choose_pooling(job, config, console)
        if open_rate:
            config = choose_rate(job, config, console, untrained if pooled is None else pooled)
        if config != given:
            job = build_job(manifest, config, folder, hardware, taken)
    provenance = _same_data(folder, manifest, taken) if resume else provenance_of(source, manifest, config, job, taken)
    begun = resume and bool(RunFolder(folder).checkpoints)
    processes.wait()  # nobody writes before all have looked
    if config.model.frozen and config.optimizer.epochs:
        _write_beginning(folder, config, provenance, processes, marks)  # from here on it can be resumed
        job = frozen.with_features(job, manifest, config, features or RunFolder(folder).features, console)
    measured: float | None = None
    if not begun:
        prepare_head(job, config, console)
        if evaluate_after:
            measured = _measure_baseline(job, manifest, config, console)
        _write_beginning(folder, config, provenance, processes, marks)
    elif evaluate_after and Baseline.load(folder) is None:  # an older version began this run
        prepare_head(job, config, plain_console(quiet=True))
        _measure_baseline(job, manifest, config, console)
    usual = (ProgressBar(console), LogFile(RunFolder(folder).log), TensorBoard(RunFolder(folder).tensorboard))
    job = _with_rest(job, config, test_part(manifest) if evaluate_after else None, measured)
    progress = run(_without_diversity(job, config), (*usual, *callbacks), settings=config.as_dict(), resume=begun)
    _tell_what_is_kept(progress, console)
    refit = refit_head(job, manifest, console) if config.model.refit and config.optimizer.epochs else None
    if config.model.calibrate:
        calibrate_model(job, console)
    provenance = dataclasses.replace(
        provenance,
        refit=refit,
        seconds=round((provenance.seconds or 0) + time.monotonic() - began, 1),
        best_epoch=progress.best.epoch or progress.epoch,
        unreadable=tuple(progress.unreadable),
        finished=now(),
    )
    if processes.first:
        provenance.save(folder)
        for checkpoint in RunFolder(folder).checkpoints:
            checkpoint.unlink()
        frozen.remove(RunFolder(folder).features)
    processes.wait()  # for the model, which all of them read
    if not evaluate_after:
        return None
    return evaluate(folder, None, console, manifest=manifest, processes=processes)


def _write_beginning(
    folder: Path, config: Config, provenance: Provenance, processes: Processes, marks: GivenMarks | None
) -> None:
    if processes.first:
        if marks is not None:
            marks.copy(RunFolder(folder).marks)
        write_atomically(RunFolder(folder).config, lambda file: save(config, file))
        provenance.save(folder)


def _measure_baseline(job: Job, manifest: Manifest, config: Config, console: Console) -> float:
    """Write the rows from before training; returns the seconds that a picture took, search and all."""
    began = time.monotonic()
    baseline = measure_baseline(job, manifest, config, console)
    if job.hardware.processes.first:
        baseline.save(job.folder)
    return (time.monotonic() - began) / baseline.queries


def evaluate_if_tested(folder: Path, console: Console, processes: Processes = ALONE) -> Metrics | None:
    """`evaluate` a run on its own source, beside what was there before; nothing where that has no test images."""
    config = load(RunFolder(folder).config)
    manifest = held_out(opened(Provenance.load(folder).data.path, config.data, console), config, console)
    if not has_test(manifest):
        return None
    size = build.image_size(config, build.hardware(config).device)
    manifest = with_prepared(manifest, config, size, console, processes)
    job = build_job(manifest, config, folder, build.hardware(config, processes))
    prepare_head(job, config, plain_console(quiet=True))
    _measure_baseline(job, manifest, config, console)
    return evaluate(folder, None, console, manifest=manifest, processes=processes)


def resume(folder: Path, console: Console, *, processes: Processes = ALONE, **options: Any) -> Metrics | None:
    """Go on with an interrupted run from its last checkpoint, with its own settings and source.

    Options are those of `train`: callbacks, evaluate_after, features.
    """
    with held(folder, processes):
        source = _interrupted(folder).data.path
        config = load(RunFolder(folder).config)
        if config.model.drop_path is None:  # a run from before there was this setting
            config = config.replace(model__drop_path=0.0)
        if config.data.validations is None:  # likewise
            config = config.replace(data__validations=max(1, config.optimizer.epochs))
        marks = GivenMarks.again(folder)
        return train(source, config, folder, console, processes=processes, resume=True, marks=marks, **options)


def _interrupted(folder: Path) -> Provenance:
    provenance = Provenance.load(folder)
    if provenance.finished is not None:
        raise ConfigError("this run is complete", where=folder, remedy=f"look at it with: bier report {quoted(folder)}")
    if not RunFolder(folder).can_go_on:
        raise ModelError("no checkpoint to go on from", where=folder, remedy="start again in another folder")
    return provenance


def announce(job: Job, manifest: Manifest, console: Console) -> None:
    """Say what is about to be trained, on what."""
    learning, pictures = job.learning, job.pictures
    counts = ", ".join(
        f"{len(part):,} {name} of {len(part.classes()):,} classes"
        for name, part in (
            ("training images", manifest.only("train")),
            ("for validation", manifest.only("val")),
            ("for testing", test_part(manifest)),
        )
        if len(part)
    )
    console.print(f"{manifest.source}: {counts}", soft_wrap=True)
    for line in (*manifest.remarks(), *_several(pictures), *overlaps(manifest, pictures.label_separator)):
        console.print(line, soft_wrap=True)
    console.print(
        f"{learning.model.backbone.name} at {pictures.test_view.size} px, learners of "
        f"{' + '.join(map(str, learning.model.head.sizes))} dimensions, {type(learning.boost.loss).__name__} boosted "
        f"{learning.boost.schedule}, {job.epochs} epochs of {len(pictures.plan)} batches on {job.hardware.device.type}",
        soft_wrap=True,
    )
    if adapters := learning.model.backbone.adapters:
        count, all_of_them = (sum(p.numel() for p in part) for part in (adapters, learning.model.backbone.parameters()))
        console.print(
            f"LoRA adapters of {count:,} weights beside the backbone's {all_of_them - count:,}", soft_wrap=True
        )


def _several(pictures: Pictures) -> list[str]:
    """A line for a person where pictures have several labels."""
    if pictures.label_separator is None:
        return []
    own = pictures.train.split == "train"  # and did not come with marks
    names = LabelSets.of(pictures.train.label[own], pictures.label_separator).names
    return [
        f"training pictures have {len(names):,} labels, between {pictures.label_separator!r}: those that share one are "
        "alike"
    ]


def build_job(
    manifest: Manifest, config: Config, folder: Path, hardware: Hardware, marks: TakenMarks | None = None
) -> Job:
    """All that a run needs, from its settings.

    Raises:
        DataError: there is nothing to train on, or nothing to be found among the validation classes.
        ConfigError: settings that contradict one another.
    """
    config = with_habits(config)
    pictures = _pictures(manifest, config, hardware, marks)
    learning = _learning(pictures, config, hardware)
    build.check_image_size(learning.model, pictures.test_view.size)
    return Job(
        folder=folder,
        learning=learning,
        pictures=pictures,
        hardware=hardware,
        epochs=config.optimizer.epochs,
        rate=optimization.rate_schedule(config.optimizer, config.optimizer.epochs * len(pictures.plan)),
        seed=config.seed,
        validations=config.data.validations,
        checkpoint_seconds=config.checkpoint_seconds,
    )


def _pictures(manifest: Manifest, config: Config, hardware: Hardware, marks: TakenMarks | None) -> Pictures:
    training = manifest.only("train")
    if not len(training):
        raise DataError("no training images", where=manifest.source, remedy="lower data.test_classes or mend `split`")
    validation = manifest.only("val")
    separator = config.data.label_separator
    if len(validation) and np.bincount(label_entries(validation, separator)[1]).max() < 2:
        raise DataError(
            "no class of the split 'val' has two images, so nothing could be found there",
            where=manifest.source,
            remedy="give validation classes of two images or more, or leave 'val' out: classes are then held out",
        )
    _refuse_untrained(config)
    size = build.image_size(config, hardware.device)
    relations: Relations | None = None if separator is None else checked_sets(training, separator)
    if marks is not None:
        training, relations = marks.marked.manifest, marks.relations
    return Pictures(
        train=training,
        validation=_searched(manifest, config) if len(validation) else None,
        plan=_plan(training, config, hardware.processes, marks),
        train_view=build.train_transform(config, size),
        test_view=build.test_transform(config, size),
        views=build.views(config),
        relations=relations,
        label_separator=separator,
    )


def _searched(manifest: Manifest, config: Config) -> Manifest:
    """What validation searches. Training pictures with held-out labels stay out: they are known, and would be right."""
    data = config.data
    without = mixes(manifest, data.label_separator)
    return with_distractors(manifest, data.validation_gallery, config.seed, without=without)


def _plan(training: Manifest, config: Config, processes: Processes, marks: TakenMarks | None) -> Plan:
    data, separator = config.data, config.data.label_separator
    rows, classes = label_entries(training, separator)
    how = (data.classes_per_batch, data.images_per_class, config.seed, processes.rank, processes.world)
    if marks is None:
        return BatchPlan(classes, *how, None if separator is None else rows)
    known, pairs = marks.marked.classed[rows], marks.apart()
    return MarkedPlan(classes[known], rows[known], pairs, *how) if len(pairs) else BatchPlan(classes, *how, rows)


def _refuse_untrained(config: Config) -> None:
    if not config.optimizer.epochs and config.model.start == "random" and not config.diversity.initialize:
        raise ConfigError(
            "without training, a head of random weights stays random",
            where="optimizer.epochs",
            remedy="set model.start=whitening, or optimizer.epochs to 1 or more",
        )


def _learning(pictures: Pictures, config: Config, hardware: Hardware) -> Learning:
    world = hardware.processes.world
    moving = not (config.optimizer.freeze_batch_norm or config.model.frozen)
    if moving and (config.hardware.images_at_once is not None or world > 1):
        raise ConfigError(
            "batch norm would see parts of a batch",
            where="optimizer.freeze_batch_norm",
            remedy="set it to true, or use one process and leave hardware.images_at_once out",
        )
    images = pictures.plan.classes_per_batch // world * pictures.plan.images_per_class
    model = build.model(config)
    boost = build.boosting(config, model.head.sizes, len(pictures.train.classes()))
    if pictures.relations is not None and not boost.loss.takes_relations:
        raise ConfigError(
            f"{config.loss.name} takes one label a picture, and neither several (data.label_separator) nor marks",
            where="loss.name",
            remedy="take a loss of pairs, such as multi_similarity",
        )
    diversity = build.diversity(config, model.head.sizes)
    model.to(hardware.device)
    if hardware.channels_last:
        model.to(memory_format=torch.channels_last)
    proxies = [*boost.to(hardware.device).parameters()]
    extra = [] if diversity is None else [*diversity.to(hardware.device).parameters()]
    return Learning(
        model=model,
        backbone=build.training_backbone(config, model, hardware, images),
        boost=boost,
        diversity=diversity,
        optimizer=optimization.optimizer(config.optimizer, model, proxies, extra),
        clip_norm=config.optimizer.clip_norm,
        images_at_once=config.hardware.images_at_once,
    )


def _with_rest(job: Job, config: Config, tested: Manifest | None, picture_seconds: float | None) -> Job:
    """The job, which knows what comes after the last step: for the time that is left."""
    afterwards = 0 if tested is None else len(tested)
    validation = job.pictures.validation
    if validation is not None and job.pictures.frozen is None:
        afterwards += (min(len(job.pictures.train), START_IMAGES) + len(validation)) * config.model.refit
        afterwards += (len(validation) + strangers_beside(len(validation.only("val")))) * config.model.calibrate
    return dataclasses.replace(job, afterwards=afterwards, picture_seconds=picture_seconds)


def _without_diversity(job: Job, config: Config) -> Job:
    """Diversity may be wanted for initialisation alone."""
    if config.diversity.during_training:
        return job
    return dataclasses.replace(job, learning=dataclasses.replace(job.learning, diversity=None))


def _tell_what_is_kept(progress: Progress, console: Console) -> None:
    if not progress.epoch:
        console.print("no training: the head stays as it starts")
    if progress.stopped_early:
        console.print(f"stopped early, after epoch {progress.epoch}")
    if progress.best.epoch:
        scores = progress.history[progress.best.epoch - 1]["validation"]
        console.print(
            f"epoch {progress.best.epoch} is kept, with Recall@1 {100 * scores['recall@1']:.1f} % and MAP@R "
            f"{100 * scores['map_at_r']:.1f} % on the validation classes"
        )


def _same_data(folder: Path, manifest: Manifest, marks: TakenMarks | None) -> Provenance:
    provenance = Provenance.load(folder)
    if provenance.data.fingerprint != manifest.fingerprint():
        raise DataError(
            "the images, labels or splits are not those that this run started with",
            where=provenance.data.path,
            remedy="restore them, or start a new run",
        )
    refuse_others(provenance.marks, marks)
    return provenance
