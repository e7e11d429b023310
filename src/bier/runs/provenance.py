"""Where a run comes from: its data, its machine, its packages."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata

import torch
from torch import nn

from bier.data import Manifest
from bier.records.provenance import BackboneSpec, Provenance, TrainedOn
from bier.records.reading import from_json
from bier.runs.marks import TakenMarks
from bier.runs.splits import classes_seen
from bier.settings.schema import Config
from bier.system.places import path_of
from bier.training.job import Job

VERSIONS = ("bier-dml", "torch", "torchvision", "timm", "numpy", "pillow", "torchcodec", "safetensors")


def provenance_of(
    source: str, manifest: Manifest, config: Config, job: Job, marks: TakenMarks | None = None
) -> Provenance:
    """That of a run that begins now."""
    model = job.learning.model
    return Provenance(
        command=shlex.join(sys.argv),
        started=now(),
        seed=config.seed,
        device=_device_name(job.hardware.device),
        threads=torch.get_num_threads(),
        processes=job.hardware.processes.world,
        platform=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        cores=os.cpu_count(),
        versions={name: _version(name) for name in VERSIONS},
        parameters=_count(model.parameters()) - _count(model.backbone.adapters),  # of the model that is saved
        data=_trained_on(source, manifest, config.data.label_separator),
        backbone=from_json(BackboneSpec, model.backbone.spec()),
        marks=None if marks is None else marks.record(),
    )


def _trained_on(source: str, manifest: Manifest, separator: str | None) -> TrainedOn:
    return TrainedOn(
        path=source_path(source),
        source=manifest.source,
        protocol=manifest.protocol,
        fingerprint=manifest.fingerprint(),
        images={split: int((manifest.split == split).sum()) for split in sorted(set(manifest.split.tolist()))},
        classes=len(manifest.classes()),
        classes_seen=classes_seen(manifest, separator),
    )


def source_path(source: str) -> str:
    return str(path_of(source).resolve())


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
