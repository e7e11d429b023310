"""A map of the pictures that a run is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bier.data import Manifest
from bier.errors import ConfigError, quoted
from bier.network.model import RetrievalModel
from bier.records.pictures import Picture
from bier.records.run_map import RunMap
from bier.runs.judged import retrieval_vectors
from bier.system.extras import need
from bier.system.waiting import Waiting
from bier.vectors.embed import Embeddings
from bier.vectors.planar import STEPS, planar, sample

_TILE = 1024


def check_map(model: Path, source: str | None, split: str, output: Path | None) -> None:
    """Refuse a map before minutes of work.

    Raises:
        ConfigError: it is not of a run's own test pictures, or the package openTSNE is not installed.
    """
    if source is not None or split != "test" or output is not None or not model.is_dir():
        raise ConfigError(
            "--map is of a run's own test pictures", remedy=f"write: bier evaluate {quoted(model)} --map, and no more"
        )
    need("openTSNE", "map")


def run_map(
    model: RetrievalModel,
    vectors: Embeddings,
    manifest: Manifest,
    console: Console,
    *,
    created: str,
    seed: int,
    separator: str | None,
) -> RunMap:
    """Where the pictures lie, and whether each one's nearest neighbour is right.

    Args:
        model: whose vectors they are.
        vectors: of the manifest's pictures.
        manifest: names them.
        console: where to show how far it has come.
        created: when the metrics of the same vectors were measured.
        seed: decides which pictures are drawn, if there are too many.
        separator: between the labels of a picture, if one may have several.

    Raises:
        ConfigError: the package openTSNE is not installed.
        DataError: there are too few pictures, or all have the same vector.
    """
    rows = sample(len(vectors), seed=seed)
    chosen, seen = retrieval_vectors(model, vectors)[rows], manifest.take(vectors.index[rows])
    with Waiting(console, "drawing the map", STEPS, unit="steps") as waiting:
        places = planar(chosen, seed, where=manifest.source, progress=waiting.advance).astype(float).round(3)
    labels = [set(str(label).split(separator)) if separator else {str(label)} for label in seen.label]
    return RunMap(
        created=created,
        of=len(vectors),
        pictures=tuple(Picture(**seen.picture(row)) for row in range(len(seen))),
        ids=tuple(map(str, seen.image)),
        x=tuple(places[:, 0].tolist()),
        y=tuple(places[:, 1].tolist()),
        right=tuple(bool(labels[row] & labels[near]) for row, near in enumerate(_nearest(chosen).tolist())),
    )


def _nearest(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) the row of each one's nearest other."""
    found = np.empty(len(vectors), dtype=np.int64)
    for top in range(0, len(vectors), _TILE):
        scores = vectors[top : top + _TILE] @ vectors.T
        scores[np.arange(len(scores)), top + np.arange(len(scores))] = -np.inf
        found[top : top + _TILE] = scores.argmax(1)
    return found
