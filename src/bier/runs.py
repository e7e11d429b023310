"""The main jobs, as functions: train a run's folder, evaluate a model, compare with the backbone as it came."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bier import build
from bier.data import BatchPlan, Manifest, TestTransform, hold_out, open_source, with_distractors
from bier.errors import ConfigError, DataError, ModelError
from bier.evaluate import CONVENTIONS, RECALL_AT, USUAL, Metric, Missing, evaluate_manifest
from bier.method.initialization import initialize
from bier.method.whitening import whiten
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model
from bier.settings.reading import load, override, save
from bier.settings.schema import Config
from bier.system.files import write_atomically, write_json
from bier.system.processes import Processes
from bier.system.tensors import STATE_FORMAT, read_description
from bier.training.job import Job
from bier.training.loop import run
from bier.training.monitor import Monitor, Silence
from bier.vectors.embed import Embeddings, embed

VERSIONS = ("bier-dml", "torch", "torchvision", "timm", "numpy", "pillow", "torchcodec", "safetensors")
ALSO = {"map": "mAP", "nmi": "NMI", "ami": "AMI"}
"""Metrics that are computed on demand, as tables head them."""
TRIES = "tries.json"
"""In the folder of a run that is to be the best of several (`bier.tries`)."""
START_IMAGES = 10_000
"""Training images, at most, whose features the head starts from."""


def train(
    source: str,
    config: Config,
    folder: Path,
    console: Console,
    *,
    resume: bool = False,
    evaluate_after: bool = True,
) -> dict[str, Any] | None:
    """Train on a source and fill the run's folder; returns the test metrics where the source has test images.

    Raises:
        BierError: any of its kinds; `Interrupted` after a checkpoint was saved on request.
    """
    began = time.monotonic()
    processes = Processes.joined()
    console = console if processes.first else Console(quiet=True)
    manifest = held_out(open_source(source, config.data), config, console)
    config = _resolved(config)
    _set_threads(config)
    if not resume:
        refuse_to_overwrite(folder)
    job = _job(manifest, config, folder, processes)
    describe(job, manifest, console)
    if resume:
        provenance = _same_data(folder, manifest)
    else:
        _prepare_head(job, config, console)
        provenance = _provenance(source, manifest, config, job)
        if processes.first:
            write_atomically(folder / "config.yaml", lambda file: save(config, file))
            write_json(folder / "provenance.json", provenance)
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
    provenance |= {
        "seconds": round(provenance.get("seconds", 0) + time.monotonic() - began, 1),
        "best_epoch": progress.best.epoch or progress.epoch,
        "unreadable": progress.unreadable,
        "finished": _now(),
    }
    if processes.first:
        write_json(folder / "provenance.json", provenance)
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    processes.wait()  # for the model, which all of them read
    if not evaluate_after or not _has_test(manifest):
        return None
    return evaluate(folder, None, console, manifest=manifest)


def evaluate_if_tested(folder: Path, console: Console) -> dict[str, Any] | None:
    """`evaluate` a run on its own source, or nothing where that has no test images."""
    config = load(folder / "config.yaml")
    manifest = held_out(open_source(read_provenance(folder)["data"]["path"], config.data), config, console)
    return evaluate(folder, None, console, manifest=manifest) if _has_test(manifest) else None


def resume(folder: Path, console: Console, *, evaluate_after: bool = True) -> dict[str, Any] | None:
    """Go on with an interrupted run from its last checkpoint, with its own settings and source."""
    provenance = read_provenance(folder)
    if "finished" in provenance:
        raise ConfigError("this run is complete", where=folder, remedy=f"look at it with: bier report {folder}")
    if not (folder / "checkpoint.safetensors").is_file():
        raise ModelError("no checkpoint to go on from", where=folder, remedy="start again in another folder")
    config = load(folder / "config.yaml")
    return train(provenance["data"]["path"], config, folder, console, resume=True, evaluate_after=evaluate_after)


def evaluate(
    model_path: Path,
    source: str | None,
    console: Console,
    *,
    manifest: Manifest | None = None,
    split: str = "test",
    overrides: tuple[str, ...] = (),
    output: Path | None = None,
    recall_at: Sequence[int] = RECALL_AT,
    also: Sequence[Metric] = (),
    missing: Missing = "exclude",
) -> dict[str, Any]:
    """Evaluate a run or a model file on a source (by default the one it was trained on) and write the metrics.

    They go to ``metrics.json`` in the run's folder, or beside it under the source's name if it is another source.
    ``also`` names metrics beside the usual ones, ``missing`` what queries without a positive count as.
    """
    processes = Processes.joined()
    model, info = load_model(model_path)
    folder = model_path if model_path.is_dir() else model_path.parent
    config_file = folder / "config.yaml"
    config = override(_portable(load(config_file if config_file.is_file() else None)), overrides)
    provenance = read_provenance(folder) if (folder / "provenance.json").is_file() else {}
    if manifest is None:
        if source is None and not provenance:
            raise ConfigError("no source of pictures", where=model_path, remedy="write: bier evaluate MODEL SOURCE")
        same = source is None or _source_path(source) == provenance.get("data", {}).get("path")
        settings = config.data if same else load(None, overrides).data
        manifest = open_source(source or provenance["data"]["path"], settings)
        if same:  # validation classes are not part of the training split, and stay out of it here
            manifest = held_out(manifest, config, console)
    _set_threads(config)
    wanted = _of_split(manifest, split)
    vectors = _embed(model, wanted, TestTransform(info.image["size"], info.image["fit"]), config, console)
    metrics = metrics_of(
        model,
        vectors,
        wanted,
        name=folder.resolve().name,
        split=split,
        seed=config.seed,
        recall_at=recall_at,
        metrics=(*USUAL, *also),
        missing=missing,
        distributed=processes.world > 1,
    )
    if not processes.first:
        return metrics
    if output is None:
        trained_on = provenance.get("data", {}).get("fingerprint")
        own = split == "test" and trained_on in (None, manifest.fingerprint())
        output = folder / ("metrics.json" if own else f"metrics-{slug(manifest.source)}-{split}.json")
    write_json(output, metrics)
    console.print(table(metrics))
    console.print(f"written to {output}", highlight=False, soft_wrap=True)
    return metrics


def metrics_of(
    model: RetrievalModel,
    vectors: Embeddings,
    manifest: Manifest,
    *,
    name: str,
    **options: Any,
) -> dict[str, Any]:
    """The contents of ``metrics.json``, with the weights of learners that the model's head has.

    Options are those of :func:`bier.evaluate.evaluate_manifest`.
    """
    alpha = model.head.scales().square()
    return evaluate_manifest(vectors, manifest, alpha, name=name, **options)


def pretrained_features(source: str, config: Config, console: Console) -> dict[str, Any]:
    """Metrics of the backbone as it came, before any training: the row of its features, pooled as it does."""
    config = _resolved(config).replace(model__pooling="average")
    manifest = _of_split(open_source(source, config.data), "test")
    model = build.model(config)
    size = build.image_size(config, build.device(config))
    vectors = _embed(model, manifest, build.test_transform(config, size), config, console)
    metrics = metrics_of(model, vectors, manifest, name="pretrained", seed=config.seed)
    row: dict[str, Any] = next(row for row in metrics["rows"] if row["kind"] == "features")
    return row


def table(metrics: dict[str, Any]) -> Table:
    """The rows of ``metrics.json`` as a person reads them."""
    k = list(metrics["rows"][0]["recall"])
    view = Table(
        title=f"{metrics['name']}: {metrics['queries']:,} queries of {metrics['classes']:,} classes, "
        f"{metrics['split']} split of {metrics['source']}",
        title_justify="left",
    )
    view.add_column("embedding")
    also = [metric for metric in ALSO if metric in metrics["rows"][0]]
    for heading in ("dims", *(f"R@{n}" for n in k), "MAP@R", "R-prec.", *(ALSO[metric] for metric in also)):
        view.add_column(heading, justify="right")
    for row in _distinct(metrics["rows"]):
        values = [*(row["recall"][n] for n in k), row["map_at_r"], row["r_precision"], *(row[m] for m in also)]
        view.add_row(row["name"], str(row["dimensions"]), *(f"{100 * value:.1f}" for value in values))
    if metrics["queries_without_positive"]:
        counted = "are left out" if CONVENTIONS["exclude"] in metrics["conventions"] else "count as misses"
        view.caption = f"{metrics['queries_without_positive']:,} queries without a positive {counted}"
    return view


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without prefixes of one learner or of all, and without the learner that is the whole embedding."""
    everyone = len(rows[0]["learners"])
    new = {"learner": range(1, everyone), "prefix": range(2, everyone)}
    return [row for row in rows if row["kind"] not in new or len(row["learners"]) in new[row["kind"]]]


def describe(job: Job, manifest: Manifest, console: Console) -> None:
    counts = ", ".join(
        f"{len(part):,} {name} of {len(part.classes()):,} classes"
        for name, part in (
            ("training images", job.train),
            ("for validation", manifest.only("val")),
            ("for testing", _test_part(manifest)),
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


def read_provenance(folder: Path) -> dict[str, Any]:
    path = folder / "provenance.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            "is not the folder of a run", where=folder, remedy="give the --out of a `bier train`"
        ) from error
    except ValueError as error:
        raise ModelError(f"is broken ({error})", where=path, remedy="copy the run again") from error
    return content


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that is complete."""
    return (folder / "provenance.json").exists() and "finished" in read_provenance(folder)


def read_history(folder: Path) -> list[dict[str, Any]]:
    """What is kept of each epoch."""
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def validation_score(folder: Path) -> float:
    """MAP@R on validation classes, of the epoch that is kept."""
    return next(float(epoch["validation"]["map_at_r"]) for epoch in read_history(folder) if epoch["kept"])


def new_folder(source: str, name: str | None = None) -> Path:
    """``runs/<source>-<time>``, or with a name ``runs/<name>``."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / (name or f"{slug(source)}-{stamp}")


def slug(source: str) -> str:
    path = Path(source)
    stem = path.stem if path.suffix.lower() in (".csv", ".parquet") else path.name
    stem = path.resolve().parent.name if stem in ("labels", "", ".", "..") else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "run"


def _resolved(config: Config) -> Config:
    """The settings with everything that depends on the machine filled in, as they are kept with the run."""
    device = build.device(config)
    precision = "bfloat16" if build.precision(config, device) is torch.bfloat16 else "float32"
    return config.replace(
        image__size=build.image_size(config, device),
        data__workers=build.workers(config),
        hardware__device=device.type,
        hardware__precision=precision,
        hardware__threads=config.hardware.threads or torch.get_num_threads(),
    )


def _portable(config: Config) -> Config:
    """The settings of a run without those of the machine that it ran on."""
    return config.replace(
        hardware__device="auto", hardware__precision="auto", hardware__threads=None, data__workers=None
    )


def _set_threads(config: Config) -> None:
    if config.hardware.threads is not None:
        torch.set_num_threads(config.hardware.threads)


def held_out(manifest: Manifest, config: Config, console: Console) -> Manifest:
    """The manifest with training classes set aside for validation, where there are enough of them."""
    if len(manifest.only("train").classes()) < 4 and "val" not in manifest.split:
        console.print("too few training classes to hold some out for validation: the last epoch is kept")
        return manifest
    return hold_out(manifest, config.data.validation_classes, config.seed)


def refuse_to_overwrite(folder: Path) -> None:
    """Raise where a folder holds a run; with several processes, nobody goes on before all have looked."""
    if (folder / "provenance.json").exists() or (folder / TRIES).exists():
        raise ConfigError(
            "holds a run already",
            where=folder,
            remedy=f"go on with: bier train --resume {folder}; or give another --out",
        )
    Processes.joined().wait()


def _job(manifest: Manifest, config: Config, folder: Path, processes: Processes) -> Job:
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
        optimizer=build.optimizer(config.optimizer, model, proxies, extra),
        rate=build.rate_schedule(config.optimizer, config.optimizer.epochs * len(plan)),
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


def _prepare_head(job: Job, config: Config, console: Console) -> None:
    """What happens to the head before the first step, on features of training images: whitening, then diversity."""
    diversity = job.diversity if config.diversity.initialize else None
    if config.model.start == "random" and diversity is None:
        return
    began = time.monotonic()
    chosen = np.random.default_rng(config.seed).permutation(len(job.train))[:START_IMAGES]
    some = job.train.take(np.sort(chosen))
    vectors = _embed(job.model, some, job.test_transform, config, console)
    if config.model.start == "whitening":
        whiten(job.model.head, vectors.features, torch.from_numpy(some.codes()[vectors.index]), seed=config.seed)
        console.print(
            f"the head starts from learned whitening of {len(vectors):,} images, {time.monotonic() - began:.0f} s"
        )
    if diversity is not None:
        done = initialize(job.model.head, vectors.features.to(job.device), diversity, seed=config.seed)
        console.print(
            f"initialised the head for diversity in {done.steps} steps, {time.monotonic() - began:.0f} s: joint "
            f"activation {done.joint_activation_before:.3g} → {done.joint_activation_after:.3g}"
        )


def _embed(
    model: RetrievalModel, manifest: Manifest, transform: TestTransform, config: Config, console: Console
) -> Embeddings:
    device = build.device(config)
    with console.status(f"embedding {len(manifest):,} images"):
        vectors = embed(
            model,
            manifest,
            transform=transform,
            workers=build.workers(config),
            device=device,
            precision=build.precision(config, device),
            channels_last=config.hardware.channels_last,
            processes=Processes.joined(),
        )
    for error in vectors.failed:
        console.print(f"left out: {error.where}: {error.what}", highlight=False, markup=False, soft_wrap=True)
    return vectors


def _of_split(manifest: Manifest, split: str) -> Manifest:
    if split not in ("test", "val", "train"):
        raise ConfigError(f"unknown split {split!r}", where="--split", remedy="choose test, val or train")
    wanted = _test_part(manifest) if split == "test" else manifest.only(split)  # type: ignore[arg-type]
    if not len(wanted):
        held = ", ".join(sorted(set(manifest.split.tolist())))
        raise DataError(
            f"no images in the split {split!r}; there are: {held}",
            where=manifest.source,
            remedy="choose one of these with --split, or keep classes for testing (data.test_classes)",
        )
    return wanted


def _test_part(manifest: Manifest) -> Manifest:
    return manifest.only("test", "query", "gallery")


def _has_test(manifest: Manifest) -> bool:
    return len(_test_part(manifest)) > 0


def _same_data(folder: Path, manifest: Manifest) -> dict[str, Any]:
    provenance = read_provenance(folder)
    if provenance["data"]["fingerprint"] != manifest.fingerprint():
        raise DataError(
            "the images, labels or splits are not those that this run started with",
            where=provenance["data"]["path"],
            remedy="restore them, or start a new run",
        )
    return provenance


def _saved_step(folder: Path) -> int:
    return int(read_description(folder / "checkpoint.safetensors", STATE_FORMAT)["step"])


def _provenance(source: str, manifest: Manifest, config: Config, job: Job) -> dict[str, Any]:
    return {
        "format": "bier-run-1",
        "command": " ".join(sys.argv),
        "started": _now(),
        "seed": config.seed,
        "device": _device_name(job.device),
        "threads": torch.get_num_threads(),
        "processes": job.processes.world,
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in VERSIONS},
        "parameters": sum(p.numel() for p in job.model.parameters()),
        "data": {
            "path": _source_path(source),
            "source": manifest.source,
            "protocol": manifest.protocol,
            "fingerprint": manifest.fingerprint(),
            "images": {split: int((manifest.split == split).sum()) for split in sorted(set(manifest.split.tolist()))},
            "classes": len(manifest.classes()),
        },
        "backbone": job.model.backbone.spec(),
    }


def _source_path(source: str) -> str:
    return str(Path(source).resolve())


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
