"""Evaluate a model on a source, beside what was found before its training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bier.data import Manifest, TestTransform, open_source
from bier.errors import ConfigError, DataError
from bier.evaluate import MATCHING, RECALL_AT, USUAL, Metric, Missing, evaluate_manifest
from bier.method.reranking import parse
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model
from bier.records.baseline import Baseline
from bier.records.folder import RunFolder
from bier.records.history import read_history
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance, TrainedOn
from bier.records.verdict import verdict
from bier.runs import build
from bier.runs.judged import measured_confidence
from bier.runs.machine import portable, set_threads
from bier.runs.mapping import check_map, run_map
from bier.runs.opening import opened
from bier.runs.prepared import is_wanted, with_prepared
from bier.runs.provenance import source_path
from bier.runs.splits import held_out, known_classes, of_split, training_classes
from bier.runs.tables import matching_table, not_measured, table
from bier.settings.reading import load, override
from bier.settings.schema import Config
from bier.system.console import plain_console
from bier.system.hardware import Hardware
from bier.system.processes import ALONE, Processes
from bier.system.waiting import Waiting
from bier.vectors.embed import Embeddings, embed

TRAINED = {"ensemble": "trained embedding", "features": "trained features"}
"""What rows of a run are called, by their kind."""


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
    rerank: Sequence[str] = (),
    draw_map: bool = False,
    processes: Processes = ALONE,
) -> Metrics:
    """Evaluate a run or a model file on a source (by default the one it was trained on) and write the metrics.

    They go to ``metrics.json`` in the run's folder, or beside it under the source's name if it is another source.
    ``also`` names metrics beside the usual ones, ``missing`` what queries without a positive count as.
    ``draw_map`` adds ``test-map.json`` with the places of a run's own test pictures on a plane, for the report.
    ``rerank`` names ways to rank the first hits again, each of which gets a row (see `bier.method.reranking.parse`).

    Raises:
        BierError: any of its kinds; DataError where a run has put another model in the place of this one meanwhile.
    """
    if draw_map:
        check_map(model_path, source, split, output)
    rerankings = [parse(text, "--rerank") for text in rerank]
    folder = model_path if model_path.is_dir() else model_path.parent
    files = RunFolder(folder)
    file = files.model if model_path.is_dir() else model_path
    measured = _version(file)
    model, info = load_model(model_path)
    config = override(portable(load(files.config if files.config.is_file() else None)), overrides)
    trained_on = Provenance.load(folder).data if files.provenance.is_file() else None
    prepared = None
    if manifest is None:
        path = trained_on.path if trained_on is not None else None
        given = source or path
        if given is None:
            raise ConfigError("no source of pictures", where=model_path, remedy="write: bier evaluate MODEL SOURCE")
        same = source is None or source_path(source) == path
        settings = config.data if same else load(None, overrides).data
        prepared = settings.prepared
        manifest = opened(given, settings, console)
        for line in () if same else manifest.notes:  # training has told its own
            console.print(line, soft_wrap=True)
        if same:  # validation classes are not part of the training split, and stay out of it here
            manifest = held_out(manifest, config, console)
    set_threads(config)
    wanted = of_split(manifest, split)
    view = TestTransform.of(info.image)
    if prepared is not None and is_wanted(prepared, load(None, overrides), console):
        wanted = with_prepared(wanted, config.replace(data__prepared=prepared), view.size, console, processes)
    vectors = embed_manifest(model, wanted, view, build.hardware(config, processes), console)
    own = trained_on is not None and trained_on.fingerprint == manifest.fingerprint()
    training = manifest if own else _training_pictures(trained_on, config)
    known = None if training is None else training_classes(training, split, config.data.label_separator)
    metrics = metrics_of(
        model,
        vectors,
        wanted,
        name=folder.resolve().name,
        split=split,
        seed=config.seed,
        recall_at=recall_at,
        metrics=(*USUAL, *also),
        whole=MATCHING,
        missing=missing,
        distributed=processes.world > 1,
        rerank=rerankings,
        separator=config.data.label_separator,
    )
    metrics = replace(
        _beside_baseline(metrics, folder, console),
        confidence=measured_confidence(
            model, info.calibration, vectors, wanted, config.seed, config.data.label_separator
        ),
    )
    if known is not None:
        metrics = _with_seen(metrics, set(wanted.label[vectors.index]), known, config.data.label_separator)
    if not processes.first:
        return metrics
    if output is None:
        if _version(file) != measured:
            raise DataError(
                "is another model now: its run has gone on while this one was measured",
                where=file,
                remedy="repeat this",
            )
        output = (
            files.metrics
            if split == "test" and (own or trained_on is None)
            else files.other_metrics(manifest.source, split)
        )
    if draw_map and output == files.metrics:
        drawn = run_map(
            model,
            vectors,
            wanted,
            console,
            created=metrics.created,
            seed=config.seed,
            separator=config.data.label_separator,
        )
        drawn.save(folder)
    elif draw_map:
        console.print("no map is kept: these are not the pictures that the run was trained beside", soft_wrap=True)
    metrics.save(output)
    console.print(table(metrics))
    if (matching := matching_table(metrics)) is not None:
        console.print(matching)
    for text in not_measured(metrics):
        console.print(text, soft_wrap=True)
    console.print(verdict(metrics), soft_wrap=True)
    console.print(f"written to {output}", soft_wrap=True)
    return metrics


def _with_seen(metrics: Metrics, classes: set[str], known: set[str], separator: str | None) -> Metrics:
    """The metrics, which say of each class whether it is among the known ones."""
    seen = known_classes(classes, known, separator)
    by_class = tuple(replace(row, seen=row.label in seen) for row in metrics.by_class)
    return replace(metrics, classes_seen=len(seen), by_class=by_class)


def _training_pictures(trained_on: TrainedOn | None, config: Config) -> Manifest | None:
    """The source that a run was trained on; None where it is gone, or has changed since."""
    if trained_on is None:
        return None
    try:
        manifest = held_out(open_source(trained_on.path, config.data), config, plain_console(quiet=True))
    except DataError:
        return None
    return manifest if manifest.fingerprint() == trained_on.fingerprint else None


def _beside_baseline(metrics: Metrics, folder: Path, console: Console) -> Metrics:
    """The metrics of a run with the rows from before training, where these are of the same queries."""
    trained = any(epoch.epoch for epoch in read_history(folder))
    baseline, names = Baseline.load(folder), TRAINED if trained else {}
    if baseline is not None and not names:  # nothing was trained: the embedding is the untrained one
        names = {"ensemble": baseline.rows[-1].name}
        baseline = replace(baseline, rows=baseline.rows[:1])
    metrics = replace(metrics, rows=tuple(replace(row, name=names.get(row.kind, row.name)) for row in metrics.rows))
    if baseline is None or baseline.holds_for(metrics):
        return metrics if baseline is None else baseline.before(metrics)
    console.print(
        "the rows from before training are left out: they are of the run's own test pictures, "
        f"where {', '.join(baseline.conventions[2:])}",
        soft_wrap=True,
    )
    return metrics


def _version(file: Path) -> tuple[int, ...]:
    """What tells one writing of a file from the next; nothing where there is none."""
    with suppress(OSError):
        status = file.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size
    return ()


def metrics_of(
    model: RetrievalModel,
    vectors: Embeddings,
    manifest: Manifest,
    *,
    name: str,
    **options: Any,
) -> Metrics:
    """The figures of a manifest's vectors, with the weights of learners that the model's head has.

    Options are those of :func:`bier.evaluate.evaluate_manifest`.
    """
    alpha = model.head.scales().square()
    return Metrics.of(evaluate_manifest(vectors, manifest, alpha, name=name, **options))


def embed_manifest(
    model: RetrievalModel,
    manifest: Manifest,
    transform: TestTransform,
    hardware: Hardware,
    console: Console,
    *,
    part: bool = False,
) -> Embeddings:
    """`embed`, and say what could not be read."""
    with Waiting(console, f"embedding {len(manifest):,} images", len(manifest)) as waiting:
        vectors = embed(
            model,
            manifest,
            transform=transform,
            hardware=hardware,
            progress=waiting.share(hardware.processes.world),
            part=part,
        )
    for error in vectors.failed:
        console.print(f"left out: {error.where}: {error.what}", soft_wrap=True)
    return vectors
