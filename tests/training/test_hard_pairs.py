"""The pairs that boosting weighs most."""

from __future__ import annotations

from pathlib import Path

import torch

from bier.data import Manifest
from bier.training.hard_pairs import SHOWN, HardPairs

LABELS = torch.tensor([0, 0, 1, 1])
ROWS = torch.tensor([7, 3, 5, 1])


def weights(pairs: dict[tuple[int, int], float], n: int = 4) -> torch.Tensor:
    found = torch.full((n, n), 0.1)
    for (i, j), value in pairs.items():
        found[i, j] = value
    return found.fill_diagonal_(0)


def manifest(n: int) -> Manifest:
    images = [f"{i}.jpg" for i in range(n)]
    return Manifest.of(Path("photos"), "photos", image=images, label=[str(i % 4) for i in range(n)])


def test_the_highest_weights_win_over_batches_and_directions() -> None:
    hardest = HardPairs()
    hardest.add(weights({(0, 1): 0.4, (1, 2): 0.8}), LABELS, ROWS)
    hardest.add(weights({(1, 0): 0.9, (3, 0): 0.7}), LABELS, ROWS)  # triplets fill one side of the diagonal
    assert [(i, j, round(w, 4)) for w, i, j in hardest.positive] == [(3, 7, 0.9), (1, 5, 0.1)]
    assert [(i, j, round(w, 4)) for w, i, j in hardest.negative[:2]] == [(3, 5, 0.8), (1, 7, 0.7)]


def test_no_picture_is_shown_twice_and_few_pairs_are() -> None:
    n = 40
    generator = torch.Generator().manual_seed(0)
    hardest = HardPairs()
    hardest.add(torch.rand(n, n, generator=generator), torch.arange(n) % 4, torch.arange(n))
    for kind, pairs in hardest.summary(manifest(n)).items():
        shown = [picture["image"] for pair in pairs for picture in pair["pictures"]]
        assert len(pairs) == SHOWN, kind
        assert len(set(shown)) == 2 * SHOWN
    best = hardest.summary(manifest(n))["negative"][0]
    assert best["weight"] == hardest.negative[0][0]
    assert best["pictures"][0]["image"].endswith(f"photos/{hardest.negative[0][1]}.jpg")


def test_without_boosting_no_pair_stands_out() -> None:
    hardest = HardPairs()
    hardest.add(weights({}), LABELS, ROWS)
    assert hardest == HardPairs()
