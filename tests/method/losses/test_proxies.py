"""Losses against proxies: loops over samples, and the published formula over proxies."""

import pytest
import torch
from reference import UNBALANCED, assert_agrees, boost_softmax, nu, raw_outputs, unit
from torch import nn

from bier import OnlineBoosting
from bier.errors import ConfigError, LossError
from bier.losses import NormalizedSoftmax, ProxyAnchor

CLASSES = 6  # two of them have no image in the batch


def build(kind, learners, **options):
    torch.manual_seed(1)
    loss = kind(CLASSES, [3 + m for m in range(learners)], **options).double()
    for proxy in loss.proxies:
        nn.init.normal_(proxy, std=0.3)  # not normalised, as after some updates
    return loss, list(loss.proxies)


@pytest.mark.parametrize("learners", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("schedule", "shrinkage"),
    [("additive", 0.06), ("convex", 1.0), ("convex", 0.5), ("stagewise", 1), ("independent", 1)],
)
def test_normalized_softmax_is_that_of_the_loop(schedule, shrinkage, learners):
    outputs = raw_outputs(learners)
    loss, proxies = build(NormalizedSoftmax, learners, temperature=0.2)
    expected = boost_softmax(outputs, proxies, UNBALANCED, schedule, shrinkage, temperature=0.2)
    assert_agrees(OnlineBoosting(loss, schedule, shrinkage), expected, outputs, UNBALANCED, *proxies)


def proxy_anchor(scores, labels, alpha=32.0, margin=0.1):
    """Equation 4 of Kim et al., one proxy after another."""
    pulled, pushed = [], []
    for p in range(CLASSES):
        of, others = [i for i, y in enumerate(labels) if y == p], [i for i, y in enumerate(labels) if y != p]
        if of:
            pulled.append(torch.log(1 + sum(torch.exp(-alpha * (scores[i][p] - margin)) for i in of)))
        pushed.append(torch.log(1 + sum(torch.exp(alpha * (scores[i][p] + margin)) for i in others)))
    return sum(pulled) / len(pulled) + sum(pushed) / CLASSES


@pytest.mark.parametrize("learners", [1, 3])
def test_proxy_anchor_is_the_published_formula_at_the_ensembles_scores(learners):
    outputs = raw_outputs(learners)
    loss, proxies = build(ProxyAnchor, learners)
    expected, state = 0, torch.zeros(len(UNBALANCED), CLASSES, dtype=torch.float64)
    for m, (f, proxy) in enumerate(zip(outputs, proxies, strict=True), start=1):
        s = torch.stack([torch.stack([(unit(row) * unit(p)).sum() for p in proxy]) for row in f])
        state = (1 - nu(m)) * state.detach() + nu(m) * s
        expected = expected + proxy_anchor(state, UNBALANCED) / learners
    boost = OnlineBoosting(loss)
    value = boost(outputs, torch.tensor(UNBALANCED), trace=True)
    assert boost.schedule == "stagewise"
    torch.testing.assert_close(value, expected)
    inputs = [*outputs, *proxies]
    torch.testing.assert_close(torch.autograd.grad(value, inputs), torch.autograd.grad(expected, inputs))
    torch.testing.assert_close(boost.last.scores[-1], state.detach())


def test_a_batch_of_one_class_has_finite_gradients():
    """Proxies need no other class in the batch; one proxy then has no negative at all."""
    for kind in (NormalizedSoftmax, ProxyAnchor):
        loss, proxies = build(kind, 2)
        outputs = raw_outputs(2, n=4)
        OnlineBoosting(loss)(outputs, torch.zeros(4, dtype=torch.long)).backward()
        assert all(t.grad.isfinite().all() and t.grad.any() for t in [*outputs, *proxies])


def test_labels_beyond_the_proxies_and_reweighting_without_terms_are_refused():
    for kind in (NormalizedSoftmax, ProxyAnchor):
        with pytest.raises(LossError, match="label 6 for 6 proxies"):
            OnlineBoosting(build(kind, 2)[0])(raw_outputs(2, n=3), torch.tensor([0, 6, 1]))
    with pytest.raises(ConfigError, match="does not split into terms"):
        OnlineBoosting(build(ProxyAnchor, 2)[0], "convex")
