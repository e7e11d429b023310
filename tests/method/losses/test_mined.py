"""The multi-similarity loss in tiles is the one that is written with whole matrices."""

from __future__ import annotations

import itertools

import pytest
import torch
from reference import Largest
from torch import Tensor

from bier.losses import MultiSimilarity
from bier.method.losses import mined, similarity
from bier.method.losses.base import Loss
from bier.method.losses.mined import ListedPairs, MinedSweep, pairs_of_one_class
from bier.method.losses.mined_whole import SMALL
from bier.method.losses.pairwise import TILE, mean_loss

SIZES = (3, 5, 8)
SHUFFLED = torch.randint(0, 12, (50,), generator=torch.Generator().manual_seed(3))
LABELS = {
    "in order": torch.arange(12).repeat_interleave(4),
    "shuffled": SHUFFLED,
    "one large class": torch.cat([torch.zeros(40, dtype=torch.long), torch.arange(1, 11)]),
    "two classes": torch.arange(50) % 2,
    "no positive pair": torch.arange(50) * 2**40,
}


def batch(labels: Tensor, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    classes, codes = torch.unique(labels, return_inverse=True)
    centres = torch.randn(len(classes), sum(SIZES), generator=generator)
    points = 0.7 * centres[codes] + torch.randn(len(labels), sum(SIZES), generator=generator)
    return [x.to(dtype).requires_grad_() for x in points.split(SIZES, dim=1)]


def in_tiles(loss: MultiSimilarity, outputs: list[Tensor], labels: Tensor, schedule: str, tile: int) -> Tensor:
    sweep = MinedSweep(loss, schedule, len(outputs), outputs[0], labels, tile=tile)
    return mean_loss(sweep, outputs)


@pytest.mark.parametrize("tile", [8, 17, 256])
@pytest.mark.parametrize("schedule", ["stagewise", "independent"])
@pytest.mark.parametrize("epsilon", [None, 0.1, 0.5])
@pytest.mark.parametrize("kind", LABELS)
def test_value_and_gradients_of_whole_matrices(kind, epsilon, schedule, tile, monkeypatch):
    monkeypatch.setattr(mined, "KEPT", 2000)  # some tiles are kept and some are made twice
    labels = LABELS[kind]
    outputs = batch(labels)
    loss = MultiSimilarity(alpha=3, beta=20, base=0.3, epsilon=epsilon)
    whole = Loss.boost(loss, outputs, labels, schedule=schedule, shrinkage=1, trace=False).loss
    value = in_tiles(loss, outputs, labels, schedule, tile)
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(torch.autograd.grad(value, outputs), torch.autograd.grad(whole, outputs))


@pytest.fixture(params=["in tiles", "whole"])
def way(request, monkeypatch):
    """Small batches either way."""
    monkeypatch.setattr(similarity, "SMALL", SMALL if request.param == "whole" else 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("schedule", ["stagewise", "independent"])
def test_in_float32_to_five_places(schedule):
    labels = LABELS["shuffled"]
    outputs = batch(labels, torch.float32)
    loss = MultiSimilarity()
    whole = Loss.boost(loss, outputs, labels, schedule=schedule, shrinkage=1, trace=False)
    boosted = loss.boost(outputs, labels, schedule=schedule, shrinkage=1, trace=False)
    torch.testing.assert_close(boosted.losses, whole.losses, rtol=1e-5, atol=1e-6)
    for found, expected in zip(
        torch.autograd.grad(boosted.loss, outputs), torch.autograd.grad(whole.loss, outputs), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("tile", [8, 256])
def test_each_positive_pair_stands_once_where_its_tile_has_it(tile):
    labels = SHUFFLED
    pairs = ListedPairs(pairs_of_one_class(labels), len(labels), tile, labels.device)
    first, second = pairs.anchors.view(2, -1).tolist()
    expected = {(i, j) for i, j in itertools.combinations(range(50), 2) if labels[i] == labels[j]}
    assert set(zip(first, second, strict=True)) == expected
    assert len(first) == len(expected) == pairs.count
    numbers = torch.arange(50 * 50).view(50, 50)
    for i, j in pairs.spans:
        inside = numbers[i * tile : (i + 1) * tile, j * tile : (j + 1) * tile].reshape(-1)
        span, places = pairs.within((i, j))
        assert len(places) == (2 if i == j else 1)
        for where, (a, b) in zip(places, [(first, second), (second, first)], strict=False):
            assert inside[where].tolist() == [x * 50 + y for x, y in zip(a[span], b[span], strict=True)]


@pytest.mark.parametrize("changed", [{"beta": 1000.0}, {"base": 40.0}, {"alpha": -1.0}])
def test_what_tiles_cannot_hold_is_done_with_whole_matrices(changed):
    labels = LABELS["in order"]
    outputs = batch(labels, torch.float32)
    loss = MultiSimilarity(**changed)
    whole = Loss.boost(loss, outputs, labels, schedule="stagewise", shrinkage=1, trace=False)
    boosted = loss.boost(outputs, labels, schedule="stagewise", shrinkage=1, trace=False)
    assert torch.equal(boosted.loss, whole.loss)


@pytest.mark.usefixtures("way")
def test_the_sharpest_loss_is_finite_for_equal_and_for_opposite_vectors():
    labels = torch.arange(8) // 4
    loss = MultiSimilarity(alpha=75, beta=75, base=1, epsilon=3)
    for sign in (1, -1):
        f = torch.ones(8, 4)
        f[4:] *= sign
        f.requires_grad_()
        whole = Loss.boost(loss, [f], labels, schedule="stagewise", shrinkage=1, trace=False).loss
        value = loss.boost([f], labels, schedule="stagewise", shrinkage=1, trace=False).loss
        torch.testing.assert_close(value, whole)
        torch.testing.assert_close(*[torch.autograd.grad(x, f)[0] for x in (value, whole)], atol=1e-6, rtol=1e-5)


def test_a_loss_that_somebody_changed_keeps_what_was_changed():
    class Doubled(MultiSimilarity):
        def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
            return 2 * super().forward(scores, labels)

    labels = LABELS["in order"]
    outputs = batch(labels)
    single, double = (
        loss.boost(outputs, labels, schedule="stagewise", shrinkage=1, trace=False).loss
        for loss in (MultiSimilarity(), Doubled())
    )
    torch.testing.assert_close(double, 2 * single)


def test_no_tensor_of_all_pairs_is_made():
    n = 1500
    labels = torch.arange(n) // 4
    f = torch.randn(n, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with Largest() as largest:
        MultiSimilarity().boost([f], labels, schedule="stagewise", shrinkage=1, trace=False).loss.backward()
    assert TILE**2 <= largest.elements < n * n / 8
