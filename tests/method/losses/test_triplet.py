"""Triplets against loops over all of them."""

import pytest
import torch
from reference import UNBALANCED, Largest, assert_agrees, boost_triplets, raw_outputs

from bier import OnlineBoosting
from bier.errors import ConfigError, LossError
from bier.losses import Triplet
from bier.method.losses.triplet import positive_slots


@pytest.mark.parametrize("learners", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("schedule", "shrinkage"),
    [("additive", 1.0), ("convex", 1.0), ("convex", 0.5), ("stagewise", 1), ("independent", 1)],
)
@pytest.mark.parametrize("mining", ["all", "semihard"])
def test_loss_gradients_weights_and_scores_are_those_of_the_loop(mining, schedule, shrinkage, learners):
    outputs = raw_outputs(learners)
    expected = boost_triplets(outputs, UNBALANCED, schedule, shrinkage, margin=0.3, semihard=mining == "semihard")
    if schedule == "convex" and learners == 5 and shrinkage == 1:
        weights = torch.tensor(expected.weights[-1])
        assert ((weights > 0) & (weights < 1)).any(), "no triplet is told apart by its weight: the test is blunt"
    assert_agrees(OnlineBoosting(Triplet(0.3, mining), schedule, shrinkage), expected, outputs, UNBALANCED)


def test_every_positive_has_one_slot():
    labels = torch.tensor(UNBALANCED)
    seen = [list(pair) for slot in positive_slots(labels) for pair in zip(*(t.tolist() for t in slot), strict=True)]
    same = (labels[:, None] == labels).fill_diagonal_(False)
    assert sorted(seen) == same.nonzero().tolist()


@pytest.mark.parametrize("mining", ["all", "semihard"])
def test_no_tensor_of_all_triplets(mining):
    n = 120
    labels = torch.arange(n // 6).repeat_interleave(6)
    outputs = [torch.randn(n, 8, requires_grad=True) for _ in range(2)]
    with Largest() as largest:
        OnlineBoosting(Triplet(mining=mining))(outputs, labels).backward()
    assert n * n <= largest.elements <= 2 * n * n


def test_a_batch_without_positives_and_an_unknown_mining_are_refused():
    with pytest.raises(LossError, match="no positive pair"):
        OnlineBoosting(Triplet())(raw_outputs(2, n=4), torch.arange(4))
    with pytest.raises(ConfigError, match="semihard"):
        Triplet(mining="semi-hard")
