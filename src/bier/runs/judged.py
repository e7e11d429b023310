"""How well a model knows what it knows, on the pictures that it is evaluated on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bier.confidence.calibration import Calibration
from bier.confidence.fitting import FEWEST_CLASSES, MOST_QUERIES
from bier.confidence.measuring import Quality, measure
from bier.confidence.searching import counts
from bier.confidence.shared import SharedLabels
from bier.data import Manifest
from bier.network.model import RetrievalModel
from bier.records.metrics import Bin, Chances, Confidence
from bier.vectors.embed import Embeddings


def measured_confidence(
    model: RetrievalModel,
    calibration: Mapping[str, Any] | None,
    vectors: Embeddings,
    manifest: Manifest,
    seed: int,
    separator: str | None,
) -> Confidence | None:
    """Figures of at most `MOST_QUERIES` queries, drawn at random; None where there is nothing to judge, or to judge by.

    What was learned of one label a picture says nothing of shared labels, nor the other way round.

    Each picture searches the others, or those of the split ``query`` search those of ``gallery``. With a separator, a
    hit is right if it shares a label.
    """
    learned = None if calibration is None else Calibration.from_json(calibration)
    if learned is None or learned.separator != separator:
        return None
    joined, seen = retrieval_vectors(model, vectors), manifest.take(vectors.index)
    codes, asked = seen.codes(), np.flatnonzero(seen.split == "query")
    shared = None if separator is None else SharedLabels(seen.classes(), separator)
    kept = np.flatnonzero(seen.split == "gallery") if len(asked) else np.arange(len(codes))
    asked = asked if len(asked) else kept
    own = np.where(np.isin(asked, kept), np.searchsorted(kept, asked), -1)
    findable = np.flatnonzero(counts(codes[asked], codes[kept], shared) > (own >= 0)) if len(kept) else asked[:0]
    chosen = np.sort(np.random.default_rng(seed).permutation(findable)[:MOST_QUERIES])
    queries = asked[chosen]
    if len(np.unique(codes[queries])) < FEWEST_CLASSES:
        return None
    gallery = joined[kept], codes[kept]
    found = measure(learned, joined[queries], codes[queries], *gallery, own[chosen], seed=seed, shared=shared)
    return Confidence(queries=len(queries), right=_chances(found.right), known=_chances(found.known), lost=found.lost)


def retrieval_vectors(model: RetrievalModel, vectors: Embeddings) -> NDArray[np.float32]:
    """(n, D), what an index would store."""
    scaled = [scale * z for scale, z in zip(model.head.scales().cpu(), vectors.learners, strict=True)]
    joined: NDArray[np.float32] = torch.cat(scaled, dim=1).float().numpy()
    return joined


def _chances(quality: Quality) -> Chances:
    bins = tuple(Bin(**dataclasses.asdict(each)) for each in quality.bins)
    return Chances(auc=quality.auc, error=quality.error, bins=bins)
