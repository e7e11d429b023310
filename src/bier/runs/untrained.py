"""A model from a pretrained backbone and pictures without labels: whitening, and no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from bier.data import Manifest
from bier.errors import ConfigError, DataError
from bier.method.whitening import whiten
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.runs import build
from bier.runs.fit import are_long
from bier.runs.machine import set_threads
from bier.settings.schema import Config
from bier.system.waiting import Waiting
from bier.vectors.embed import embed
from bier.vectors.sources import Entry, Source, open_catalogue

MOST_PICTURES = 10_000
"""That are looked at, unless the caller wants more or fewer."""
SHOWN = 5
"""Of those that cannot be read, this many are named."""


@dataclass(frozen=True)
class Untrained:
    """What a model was made from."""

    pictures: int
    """That were looked at, the unreadable ones left out."""
    unreadable: int
    found: int
    """Pictures of the sources."""
    size: int
    """Side of the input in pixels."""
    sizes: tuple[int, ...]
    """Dimensions of each learner."""
    remarks: tuple[str, ...]
    """Lines about the sources: what was passed over, and the first pictures that cannot be read."""


def make_model(
    sources: Sequence[Path],
    config: Config,
    file: Path,
    console: Console,
    *,
    most: int = MOST_PICTURES,
) -> Untrained:
    """Whiten the features of pictures, and write backbone and head as a model file.

    Labels are not looked at. Where there are more than ``most`` pictures, chance draws from them with the seed of the
    settings.

    Args:
        sources: as for `bier.vectors.catalogue.embed_catalogue`.
        config: backbone, sizes, picture and hardware count.
        file: of the model.
        console: where to show how far it has come.
        most: pictures that are looked at.

    Raises:
        ConfigError: the file is a folder.
        DataError: there is no such source, or fewer than two pictures in it can be read.
        ModelError: the backbone cannot be built.
        StorageError: the model cannot be written.
    """
    if file.is_dir():
        raise ConfigError("is a folder", where=file, remedy="name a file, such as model.safetensors")
    set_threads(config)
    source = open_catalogue(sources)
    entries = list(source.pictures((0, 0)))
    chosen = _drawn(entries, most, config.seed)
    hardware = build.hardware(config)
    model = untrained_model(config)
    view = build.test_transform(config, build.image_size(config, hardware.device))
    build.check_image_size(model, view.size)
    manifest = _manifest([entry for entry in chosen if entry.fault is None], source)
    with Waiting(console, f"looking at {source.name}", len(manifest)) as waiting:
        vectors = embed(model, manifest, transform=view, hardware=hardware, progress=waiting.advance)
    if len(vectors) < 2:
        raise DataError("only one picture can be read", where=source.name, remedy="give two pictures or more")
    whiten(model.head, vectors.features, None, seed=config.seed)
    save_model(file, model, view.described)
    return Untrained(
        pictures=len(vectors),
        unreadable=len(chosen) - len(vectors),
        found=len(entries),
        size=view.size,
        sizes=model.head.sizes,
        remarks=(
            *source.remarks(),
            *_cut_off(config, manifest),
            *(f"left out: {error.where}: {error.what}" for error in vectors.failed[:SHOWN]),
        ),
    )


def _cut_off(config: Config, manifest: Manifest) -> tuple[str, ...]:
    """A line where the ends of long pictures are cut off, and nobody has asked for that."""
    if config.image.fit != "auto" or not are_long(manifest):
        return ()
    return ("the ends of long pictures are cut off; --set image.fit=stretch keeps them",)


def untrained_model(config: Config) -> RetrievalModel:
    """With no more dimensions than features, unless the settings ask for so many."""
    model = build.model(config)
    features = model.backbone.features
    if config.model.sizes is None and config.model.dimensions is None and sum(model.head.sizes) > features:
        return build.model(config.replace(model__dimensions=features))
    return model


def _drawn(entries: list[Entry], most: int, seed: int) -> list[Entry]:
    """All, or so many of them, in their order."""
    rows = np.random.default_rng(seed).permutation(len(entries))[:most]
    return [entries[row] for row in sorted(rows.tolist())]


def _manifest(entries: Sequence[Entry], source: Source) -> Manifest:
    labels = [entry.label or "" for entry in entries]
    return Manifest.of(Path("/"), source.name, image=[entry.image for entry in entries], label=labels)
