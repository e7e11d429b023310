"""Recall@1 of two indexes of the same pictures, on labelled rows: each is searched for among the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bier.search.base import Index, portions

QUERIES = 400
"""Labelled pictures that are searched for: the standard error is then at most 2.5 percent."""
_AT_ONCE = 1000


@dataclass(frozen=True)
class FirstHits:
    """Shares of the same labelled pictures whose nearest other picture has their label; searches are exact."""

    queries: int
    old: float
    new: float


def compare(old: Index, new: Index, ids: Sequence[str]) -> FirstHits | None:
    """Recall@1 of both, over pictures that both hold; None where no label occurs twice.

    Args:
        old: one index.
        new: another.
        ids: of the pictures that may be searched for.
    """
    chosen = _labelled(new, ids)
    return FirstHits(len(chosen), _recall(old, chosen), _recall(new, chosen)) if chosen else None


def _labelled(index: Index, ids: Sequence[str]) -> list[str]:
    """Some ids whose label occurs twice, drawn at random, the same ones each time."""
    if "label" not in index.info.fields:
        return []
    counts = Counter(value for values in index.values("label") for value in values if isinstance(value, str))
    names, chosen = sorted(ids), list[str]()
    for part in portions(np.random.default_rng(0).permutation(len(names)).tolist(), _AT_ONCE):
        if len(chosen) >= QUERIES:
            break
        records = index.get([names[row] for row in part])
        chosen += [row.id for row in records if row is not None and counts[str(row.metadata["label"])] > 1]
    return chosen[:QUERIES]


def _recall(index: Index, ids: Sequence[str]) -> float:
    records = [record for record in index.get(ids) if record is not None]
    found = index.search(np.stack([record.vector for record in records]), top=2, exact=True)
    right = []
    for record, hits in zip(records, found, strict=True):
        other = next(hit for hit in hits if hit.id != record.id)
        right.append(other.metadata["label"] == record.metadata["label"])
    return float(np.mean(right))
