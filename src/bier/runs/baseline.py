"""What the test pictures give before the first step: the pretrained features, and the untrained embedding."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from rich.console import Console

from bier.data import Manifest, open_source
from bier.records.baseline import Baseline
from bier.records.metrics import Metrics, Row
from bier.records.verdict import UNTRAINED, percent
from bier.runs import build
from bier.runs.evaluation import embed_manifest, metrics_of
from bier.runs.splits import of_split, test_part
from bier.settings.schema import Config
from bier.system.waiting import Waiting
from bier.training.job import Job
from bier.vectors.embed import embed

PRETRAINED = "pretrained features"
RANDOM = "random features"


def measure_baseline(job: Job, manifest: Manifest, config: Config, console: Console) -> Baseline:
    """The rows that training has to beat, by a model whose head is prepared and whose first step is not made.

    Pictures that cannot be read are named by the evaluation at the end.

    Args:
        job: its model is left as it is.
        manifest: of the run; its test part is measured.
        config: all settings.
        console: where to tell of it.
    """
    began, model, tested = time.monotonic(), job.learning.model, test_part(manifest)
    options: dict[str, Any] = {"transform": job.pictures.test_view, "hardware": job.hardware}
    plainly = model.backbone.pooling == "average"
    passes = len(tested) * (1 if plainly else 2)
    with Waiting(console, "before training: embedding the test images", passes) as waiting:
        options["progress"] = waiting.share(job.hardware.processes.world)
        vectors = embed(model, tested, **options)
        if not plainly:
            plain = build.model(config.replace(model__pooling="average", model__lora=None))
            vectors = replace(vectors, features=embed(plain, tested, **options).features)
        found = metrics_of(
            model,
            vectors,
            tested,
            name="",
            seed=config.seed,
            distributed=job.hardware.processes.world > 1,
            separator=config.data.label_separator,
        )
    rows = _named(found, config)
    told = [f"{percent(next(iter(row.recall.values())))} % ({row.name})" for row in rows]
    console.print(f"before training: Recall@1 {', '.join(told)}, {time.monotonic() - began:.0f} s", soft_wrap=True)
    return Baseline.of(found, rows)


def _named(found: Metrics, config: Config) -> tuple[Row, ...]:
    """Pretrained features and the untrained embedding, as a table of the run calls them."""
    features = RANDOM if config.model.weights == "none" else PRETRAINED
    start = "whitening" if config.model.start == "whitening" else "random head"
    assert found.features is not None
    return (
        replace(found.features, kind="pretrained", name=features),
        replace(found.ensemble, kind="untrained", name=start + UNTRAINED),
    )


def pretrained_features(source: str, config: Config, console: Console) -> Row:
    """Metrics of the backbone as it came, before any training: the row of its features, pooled as it does."""
    hardware = build.hardware(config)
    config = config.replace(model__pooling="average", model__lora=None)
    manifest = of_split(open_source(source, config.data), "test")
    model = build.model(config)
    view = build.test_transform(config, build.image_size(config, hardware.device))
    vectors = embed_manifest(model, manifest, view, hardware, console)
    metrics = metrics_of(
        model, vectors, manifest, name="pretrained", seed=config.seed, separator=config.data.label_separator
    )
    return next(row for row in metrics.rows if row.kind == "features")
