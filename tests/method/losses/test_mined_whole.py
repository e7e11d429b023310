"""The multi-similarity loss of a small batch is the one of any batch."""

from __future__ import annotations

import pytest
import torch

from bier.losses import MultiSimilarity
from bier.method.losses.base import Loss
from bier.method.losses.mined_whole import SMALL, WholeSweep
from bier.method.losses.pairwise import mean_loss
from bier.method.losses.relations import UNKNOWN

LABELS = {
    "classes of many sizes": torch.randint(0, 12, (50,), generator=torch.Generator().manual_seed(3)),
    "one large class": torch.cat([torch.zeros(40, dtype=torch.long), torch.arange(1, 11)]),
    "no positive pair": torch.arange(50) * 2**40,
}


def outputs_of(labels):
    generator = torch.Generator().manual_seed(0)
    classes, codes = torch.unique(labels, return_inverse=True)
    centres = torch.randn(len(classes), 16, generator=generator)
    points = 0.7 * centres[codes] + torch.randn(len(labels), 16, generator=generator)
    return [x.double().requires_grad_() for x in points.split((3, 5, 8), dim=1)]


def check(loss, outputs, labels, schedule):
    expected = Loss.boost(loss, outputs, labels, schedule=schedule, shrinkage=1, trace=False)
    sweep = WholeSweep(loss, schedule, len(outputs), outputs[0], labels)
    value = mean_loss(sweep, outputs)
    torch.testing.assert_close(value, expected.loss)
    torch.testing.assert_close(sweep.losses, expected.losses)
    gradients = torch.autograd.grad(value, outputs)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.loss, outputs))
    return gradients


@pytest.mark.parametrize("schedule", ["stagewise", "independent"])
@pytest.mark.parametrize("epsilon", [None, 0.1, 0.5])
@pytest.mark.parametrize("kind", LABELS)
def test_value_and_gradients(kind, epsilon, schedule):
    labels = LABELS[kind]
    check(MultiSimilarity(alpha=3, beta=20, base=0.3, epsilon=epsilon), outputs_of(labels), labels, schedule)


@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_what_is_unknown_counts_for_nothing(epsilon):
    labels = LABELS["classes of many sizes"]
    relations = (labels[:, None] == labels).to(torch.int8)
    relations[4] = relations[:, 4] = UNKNOWN
    relations[:2, 5:] = relations[5:, :2] = UNKNOWN
    relations.fill_diagonal_(1)
    loss = MultiSimilarity(alpha=3, beta=20, base=0.3, epsilon=epsilon)
    gradients = check(loss, outputs_of(labels), relations, "stagewise")
    assert all(gradient[4].abs().sum() == 0 for gradient in gradients)


def test_it_is_taken_up_to_its_limit_and_no_further(monkeypatch):
    asked = []
    run = WholeSweep.run
    monkeypatch.setattr(WholeSweep, "run", lambda self, z: asked.append(self.n) or run(self, z))
    for n in (SMALL, SMALL + 2):
        labels = torch.arange(n) // 2
        MultiSimilarity().boost(outputs_of(labels), labels, schedule="stagewise", shrinkage=1, trace=False)
    assert asked == [SMALL]
