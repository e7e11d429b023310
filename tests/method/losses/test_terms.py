"""Losses of terms that a user writes, against those of the package that have a shorter way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference import UNBALANCED, raw_outputs
from torch import Tensor
from torch.nn import functional as F

from bier import OnlineBoosting
from bier.errors import LossError
from bier.losses import NormalizedSoftmax, TermLoss, Triplet

LABELS = torch.tensor(UNBALANCED)
SCHEDULES = [("additive", 0.06), ("additive", 1.0), ("convex", 1.0), ("convex", 0.5), ("stagewise", 1.0)]


class EveryTriplet(TermLoss):
    def margins(self, scores: Tensor, labels: Tensor) -> Tensor:
        same = (labels[:, None] == labels).fill_diagonal_(False)
        anchor, positive, negative = (same[:, :, None] & (labels[:, None] != labels)[:, None]).nonzero().unbind(dim=1)
        return scores[anchor, positive] - scores[anchor, negative] - 0.3

    def penalty(self, margins: Tensor) -> Tensor:
        return torch.relu(-margins)


class LogOdds(NormalizedSoftmax):
    """The normalised softmax by its margins, without its closed forms."""

    terms, weights = TermLoss.terms, TermLoss.weights

    def margins(self, scores: Tensor, labels: Tensor) -> Tensor:
        logits = scores / self.temperature
        own = F.one_hot(labels, self.classes).bool()
        return logits[own] - logits.masked_fill(own, -torch.inf).logsumexp(dim=1)

    def penalty(self, margins: Tensor) -> Tensor:
        return F.softplus(-margins)


@pytest.mark.parametrize("learners", [1, 2, 5])
@pytest.mark.parametrize(("schedule", "shrinkage"), SCHEDULES)
@pytest.mark.parametrize("kind", ["triplet", "softmax"])
def test_margins_and_a_penalty_are_enough(kind: str, schedule: Any, shrinkage: float, learners: int) -> None:
    sizes = [3 + m for m in range(learners)]
    ours, theirs = (
        (Triplet(0.3), EveryTriplet())
        if kind == "triplet"
        else (NormalizedSoftmax(4, sizes, 0.2).double(), LogOdds(4, sizes, 0.2).double())
    )
    theirs.load_state_dict(ours.state_dict())
    outputs = raw_outputs(learners)
    expected = OnlineBoosting(ours, schedule, shrinkage).boost(outputs, LABELS, trace=True)
    found = OnlineBoosting(theirs, schedule, shrinkage).boost(outputs, LABELS, trace=True)
    torch.testing.assert_close((found.loss, found.losses), (expected.loss, expected.losses))
    torch.testing.assert_close(*[torch.autograd.grad(b.loss, outputs) for b in (found, expected)])
    torch.testing.assert_close(found.scores, expected.scores)
    if kind == "softmax":
        torch.testing.assert_close(found.weights, expected.weights)


@pytest.mark.parametrize(
    ("penalty", "says"),
    [
        (lambda margins: margins.sum(), r"returned shape \(\)"),
        (lambda margins: margins[1:], "returned shape"),
        (lambda margins: [margins], "returned list"),
        (lambda margins: torch.ones_like(margins), "without a gradient"),
    ],
)
def test_a_penalty_that_breaks_the_contract_is_named(penalty: Any, says: str) -> None:
    kind = type("Broken", (EveryTriplet,), {"penalty": staticmethod(penalty)})
    with pytest.raises(LossError, match=rf"Broken\.penalty: .*{says}"):
        OnlineBoosting(kind())(raw_outputs(2), LABELS)


def test_a_batch_without_terms_is_refused() -> None:
    with pytest.raises(LossError, match="no terms for EveryTriplet") as caught:
        OnlineBoosting(EveryTriplet())(raw_outputs(2, n=4), torch.arange(4))
    assert "two images of each" in str(caught.value.remedy)
