"""Pair losses against loops over pairs, in every schedule."""

import math

import pytest
import torch
from reference import UNBALANCED, Pairwise, assert_agrees, boost_pairs, raw_outputs

from bier import OnlineBoosting
from bier.errors import LossError
from bier.losses import BinomialDeviance, Contrastive, PairLoss
from bier.method.losses.pair_weights import choose

DEVIANCE = Pairwise(
    lambda s, positive: torch.log1p(torch.exp(-2 * (s - 0.5) * (1 if positive else -25))),
    slope=(2, -50),
    offset=(0.5, 0.5),
    initial=0.5,
)
CONTRASTIVE = Pairwise(
    lambda s, positive: (1 - s) ** 2 if positive else torch.relu(s - 0.4), slope=(1, -1), offset=(1, 0.4)
)
SQUARED = Pairwise(
    lambda s, positive: (1 - s) ** 2 if positive else torch.relu(s - 0.4) ** 2, slope=(1, -1), offset=(1, 0.4)
)
EXPONENTIAL = Pairwise(lambda s, positive: torch.exp(-s if positive else 2 * s), slope=(1, -1), offset=(0, 0))


class Exponential(PairLoss):
    """What a user writes: terms, nothing else."""

    def terms(self, similarity, positive):
        return torch.exp(torch.where(positive, -similarity, 2 * similarity))


LOSSES = {
    "deviance": (BinomialDeviance(), DEVIANCE),
    "contrastive": (Contrastive(margin=0.4), CONTRASTIVE),
    "squared": (Contrastive(margin=0.4, squared=True), SQUARED),
    "exponential": (Exponential(), EXPONENTIAL),
}
SCHEDULES = [
    ("additive", 0.06),
    ("additive", 1.0),
    ("convex", 1.0),
    ("convex", 0.7),
    ("stagewise", 1),
    ("independent", 1),
]


@pytest.mark.parametrize("learners", [1, 2, 3, 5])
@pytest.mark.parametrize(("schedule", "shrinkage"), SCHEDULES)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_gradients_weights_and_scores_are_those_of_the_loop(name, schedule, shrinkage, learners):
    loss, base = LOSSES[name]
    outputs = raw_outputs(learners)
    expected = boost_pairs(base, outputs, UNBALANCED, schedule, shrinkage)
    assert_agrees(OnlineBoosting(loss, schedule, shrinkage), expected, outputs, UNBALANCED)


@pytest.mark.parametrize("name", LOSSES)
def test_weight_is_minus_the_derivative_of_the_terms_in_the_margin(name):
    """The shortcut of a loss that knows its derivative says what differentiation of its terms says."""
    loss, base = LOSSES[name]
    s = torch.linspace(-1, 1, 41, dtype=torch.float64)
    for positive in (torch.ones(41, dtype=torch.float64), torch.zeros(41, dtype=torch.float64)):
        margin = (s - choose(positive, loss.offsets)) * choose(positive, loss.slopes)
        terms, weight = loss.value_and_weight(margin.clone(), positive)
        plain_terms, plain_weight = PairLoss.value_and_weight(loss, margin.clone(), positive)
        torch.testing.assert_close((terms, weight), (plain_terms, plain_weight))
        torch.testing.assert_close(loss.weight(margin.clone(), positive), plain_weight)
        assert weight.tolist() == pytest.approx([base.weight(a, bool(positive[0])) for a in margin.tolist()])


def test_a_score_matrix_costs_what_one_learner_with_these_scores_does():
    (f,), labels = raw_outputs(1), torch.tensor(UNBALANCED)
    z = torch.nn.functional.normalize(f)
    for loss, _ in LOSSES.values():
        torch.testing.assert_close(loss(z @ z.T, labels), OnlineBoosting(loss)([f], labels))


def test_deviance_stays_exact_far_from_zero():
    """Margins of +-80 lie where exp overflows in float32, or 1 - p is 0."""
    margin = torch.tensor([-80.0, -10.0, 0.0, 10.0, 80.0])
    terms, weight = BinomialDeviance().value_and_weight(margin.clone(), (margin > 0).float())
    assert terms.tolist() == pytest.approx([80, 10.0000454, math.log(2), 4.54e-5, 0], abs=1e-6)
    assert weight.tolist() == pytest.approx([1, 0.9999546, 0.5, 4.54e-5, 0], abs=1e-7)


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (lambda s, positive: torch.exp(s).sum(), r"returned shape \(\)"),
        (lambda s, positive: torch.exp(s)[positive], "returned shape"),
        (lambda s, positive: [s], "returned list"),
        (lambda s, positive: torch.ones_like(s), "without a gradient"),
    ],
)
def test_terms_that_break_the_contract_are_named(terms, says):
    kind = type("Broken", (PairLoss,), {"terms": staticmethod(terms)})
    with pytest.raises(LossError, match=rf"Broken\.terms: .*{says}"):
        OnlineBoosting(kind(), "independent")(raw_outputs(2), torch.tensor(UNBALANCED))
