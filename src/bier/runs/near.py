"""Near-copies among the pictures of a source: an untrained network proposes pairs, and pixels decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from bier.data import Manifest
from bier.data.check import Fault, near_copy
from bier.data.images import read_picture
from bier.errors import DataError
from bier.method.whitening import whiten
from bier.runs import build
from bier.runs.evaluation import embed_manifest
from bier.runs.machine import set_threads
from bier.runs.untrained import MOST_PICTURES, untrained_model
from bier.settings.schema import Config
from bier.system.waiting import Waiting
from bier.vectors.copies import Copy, seen_copies, to_remove
from bier.vectors.near import Pairs, VectorFile

LEAST = 0.15
"""Cosine of whitened vectors from which two pictures are compared."""


@dataclass(frozen=True)
class NearCopies:
    """What was found; rows are the manifest's."""

    faults: list[Fault]
    """For each pair; files that are the same byte for byte are told elsewhere."""
    removable: list[Copy]


def near_copies(manifest: Manifest, config: Config, console: Console) -> NearCopies:
    """Pictures that show the same: encoded again, scaled, cropped or mirrored.

    Memory does not grow with the pictures, but for their names: vectors wait in a temporary file.

    Args:
        manifest: the pictures.
        config: backbone, sizes, picture and hardware count.
        console: where to show how far it has come.

    Raises:
        DataError: fewer than two pictures can be read.
        ModelError: the backbone cannot be built.
    """
    set_threads(config)
    with VectorFile() as vectors:
        rows = _fill(vectors, manifest, config, console)
        with Waiting(console, "comparing pixels", unit="pairs") as waiting:
            found = seen_copies(
                vectors,
                lambda place: read_picture(manifest.reference(int(rows[place]))),
                LEAST,
                lambda done, _: waiting.show(done),
            )
    pairs = Pairs(rows[found.one], rows[found.other], found.similarity)
    faults = [near_copy(manifest, *pair) for pair in zip(pairs.one.tolist(), pairs.other.tolist(), strict=True)]
    return NearCopies(
        [fault for fault in faults if fault is not None],
        to_remove(pairs, lambda row: read_picture(manifest.reference(row)), len(manifest)),
    )


def _fill(vectors: VectorFile, manifest: Manifest, config: Config, console: Console) -> NDArray[np.int64]:
    """Writes the vectors of all readable pictures; gives their rows."""
    hardware = build.hardware(config)
    model = untrained_model(config)
    view = build.test_transform(config, build.image_size(config, hardware.device))
    build.check_image_size(model, view.size)
    order = np.random.default_rng(config.seed).permutation(len(manifest))
    rows = []
    for top in range(0, len(order), MOST_PICTURES):
        part = np.sort(order[top : top + MOST_PICTURES])
        made = embed_manifest(model, manifest.take(part), view, hardware, console, part=top > 0)
        if top == 0:
            if len(made) < 2:
                raise DataError("only one picture can be read", where=manifest.source, remedy="give two or more")
            whiten(model.head, made.features, None, seed=config.seed)
        with torch.no_grad():
            vectors.append(model.head.cpu()(made.features).numpy())
        rows.append(part[made.index])
    return np.concatenate(rows)
