"""Which pairs of training pictures boosting weighs most: where the learners disagree with the labels.

Some of them are hard; some are wrong labels, which is why a user should see them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bier.data import Manifest
from bier.method.losses.relations import same_and_different

SHOWN = 8
"""Pairs of each kind that are kept at the end, no picture in two of them."""
CANDIDATES = 8 * SHOWN
"""Pairs of each kind that are remembered on the way there."""

Pair = tuple[float, int, int]
"""A weight, and two rows of the manifest, the smaller first."""


@dataclass
class HardPairs:
    """The pairs with the highest weights so far, of one class (``positive``) and of two (``negative``)."""

    positive: list[Pair] = field(default_factory=list)
    negative: list[Pair] = field(default_factory=list)

    def add(self, weights: Tensor, labels: Tensor, rows: Tensor) -> None:
        """Those of a batch: weights (n, n), labels (n,) or relations (n, n), rows of the manifest (n,)."""
        weights = torch.maximum(weights, weights.T).cpu()  # triplets weigh (anchor, negative)
        same, different = same_and_different(labels.cpu())
        self.positive = _merged(self.positive, weights, same.triu(1), rows)
        self.negative = _merged(self.negative, weights, different.triu(1), rows)

    def summary(self, manifest: Manifest) -> dict[str, Any]:
        """For each kind, up to eight pairs, the highest weight first, and what a report needs of their pictures."""
        return {
            kind: [
                {"weight": weight, "pictures": [manifest.picture(i), manifest.picture(j)]}
                for weight, i, j in _without_repeats(pairs)
            ]
            for kind, pairs in (("positive", self.positive), ("negative", self.negative))
        }


def _merged(known: list[Pair], weights: Tensor, wanted: Tensor, rows: Tensor) -> list[Pair]:
    """The best candidates; nothing where all pairs weigh the same, as without boosting."""
    values = weights[wanted]
    if len(values) == 0 or bool((values == values[0]).all()):
        return known
    top = values.topk(min(CANDIDATES, len(values)))
    places = rows.cpu()[wanted.nonzero()[top.indices]].sort(dim=1).values.tolist()
    best = {(i, j): weight for weight, i, j in known}
    for weight, (i, j) in zip(top.values.tolist(), places, strict=True):
        best[i, j] = max(weight, best.get((i, j), weight))
    ranked = sorted(((weight, i, j) for (i, j), weight in best.items()), key=lambda pair: (-pair[0], *pair[1:]))
    return ranked[:CANDIDATES]


def _without_repeats(pairs: list[Pair]) -> list[Pair]:
    chosen: list[Pair] = []
    seen: set[int] = set()
    for weight, i, j in pairs:
        if len(chosen) < SHOWN and i != j and seen.isdisjoint((i, j)):
            chosen.append((weight, i, j))
            seen |= {i, j}
    return chosen
