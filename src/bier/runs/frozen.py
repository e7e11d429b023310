"""Training without the backbone in it: which features are made before, and where they lie meanwhile."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from pathlib import Path

from rich.console import Console
from torch import nn

from bier.data import Manifest
from bier.data.prepared import ROOM
from bier.data.reduction import ENOUGH
from bier.data.references import file_of
from bier.runs import build
from bier.settings.schema import Config
from bier.system.files import state_of
from bier.system.tensors import tensor_checksum
from bier.system.waiting import Waiting
from bier.training.frozen import Frozen, extract
from bier.training.job import Job
from bier.training.stopping import stop_requested
from bier.vectors.features import ViewFeatures, prepare, size_in_words


def with_features(job: Job, manifest: Manifest, config: Config, folder: Path, console: Console) -> Job:
    """The same job on features of its pictures, which are made first, or as far as they are missing.

    Args:
        job: its backbone stays as it is.
        manifest: of the run, with the split ``val`` if it validates.
        config: all settings.
        folder: of features, which one training after another may use.
        console: where to tell of it.

    Raises:
        Interrupted: asked to stop; what is done stays.
        StorageError: there is not enough space on the disk.
        DataError: a feature is NaN or infinite.
    """
    views = build.views(config)
    assert views is not None
    train = _features(job, job.pictures.train, views, folder, console)
    validation = None
    if job.pictures.validation is not None:
        validation = _features(job, manifest.only("val"), 1, folder, console)
    learning = dataclasses.replace(job.learning, backbone=nn.Identity())
    frozen = Frozen(job.pictures.train, train, validation)
    return dataclasses.replace(job, learning=learning, pictures=dataclasses.replace(job.pictures, frozen=frozen))


def remove(folder: Path) -> None:
    """Features that no training needs any more."""
    shutil.rmtree(folder, ignore_errors=True)


def _features(job: Job, manifest: Manifest, views: int, folder: Path, console: Console) -> ViewFeatures:
    backbone, processes = job.learning.model.backbone, job.hardware.processes
    shape = (len(manifest), views, backbone.features)
    place = folder / _fingerprint(job, manifest, views)
    if processes.first:
        prepare(place, shape)
    processes.wait()
    features = ViewFeatures(place, shape)
    missing = features.missing()
    what = f"features of {len(manifest):,} pictures in {views} view{'s' * (views > 1)}, {size_in_words(shape)}"
    if not missing:
        console.print(f"{what}: there already", soft_wrap=True)
        return features
    before = len(features) - sum(map(len, missing))
    if before:
        console.print(f"{what}: going on after {before:,} of {len(features):,} views", soft_wrap=True)
    began = time.monotonic()
    waiting = Waiting(console, what, len(features), "views", done=before)
    with waiting, stop_requested(alone=processes.world == 1) as stop:
        extract(
            backbone,
            manifest,
            features,
            missing,
            job.pictures.train_view,
            job.hardware,
            seed=job.seed,
            progress=waiting.share(processes.world),
            stop=stop,
        )
    console.print(f"{what}, {time.monotonic() - began:.0f} s", soft_wrap=True)
    return features


def _fingerprint(job: Job, manifest: Manifest, views: int) -> str:
    """Of all that features depend on, but for the device: other pictures, weights or views have another folder."""
    backbone = job.learning.model.backbone
    weights = {name: tensor_checksum(tensor.detach().cpu()) for name, tensor in backbone.state_dict().items()}
    references = [manifest.reference(row) for row in range(len(manifest))]
    about = {
        "pictures": [manifest.fingerprint(), references, [state_of(file_of(image)) for image in references]],
        "backbone": [backbone.spec(), weights, job.hardware.precision_name],
        "views": [views, job.seed, dataclasses.asdict(job.pictures.train_view), ENOUGH],
    }
    if manifest.copies is not None:
        about["copies"] = [ROOM]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
