"""Diversity losses against their definitions, term by term."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from bier import ActivationLoss, AdversarialLoss, EmbeddingEnsemble
from bier.method.diversity import DiversitySum, joint_activation, reverse_gradient


def head_and_features() -> tuple[EmbeddingEnsemble, Tensor]:
    torch.manual_seed(1)
    return EmbeddingEnsemble(6, (2, 3, 4)).double(), torch.randn(5, 6, dtype=torch.float64, requires_grad=True)


def raw(head: EmbeddingEnsemble, features: Tensor) -> list[Tensor]:
    """g_m = phi W_m: no bias, not normalised."""
    return [features.detach() @ w.T for w in head.linear.weight.split(head.sizes)]


def test_joint_activation_is_the_mean_of_the_squared_outer_products() -> None:
    head, features = head_and_features()
    g = raw(head, features)
    expected = sum(((g[i][:, :, None] * g[j][:, None, :]) ** 2).mean() for i, j in itertools.combinations(range(3), 2))
    assert torch.allclose(joint_activation(g), torch.as_tensor(expected))
    assert joint_activation(g[:1]) == 0


def test_activation_loss() -> None:
    head, features = head_and_features()
    units = [sum((row.square().sum() - 1) ** 2 for row in w) / len(w) for w in head.linear.weight.split(head.sizes)]
    expected = 0.3 * (joint_activation(raw(head, features)) + 7 * sum(units))
    assert torch.allclose(ActivationLoss(0.3, 7)(features, head), torch.as_tensor(expected))


def test_adversarial_loss_and_who_is_pushed_where() -> None:
    head, features = head_and_features()
    loss = AdversarialLoss(head.sizes, hidden=5, weight=0.3, regularization=0.0).double()
    similarity = torch.zeros((), dtype=torch.float64)
    g = raw(head, features)
    for i, j in itertools.combinations(range(3), 2):
        regressor = loss.regressors[f"{j}_to_{i}"]
        similarity = similarity + (g[i] * regressor(g[j])).square().mean()
    value = loss(features, head)
    assert torch.allclose(value, -0.3 * similarity)
    ours = torch.autograd.grad(value, [head.linear.weight, *loss.parameters()])
    plain = torch.autograd.grad(-0.3 * similarity, [head.linear.weight, *loss.parameters()])
    assert torch.allclose(ours[0], -plain[0]), "learners hide the similarity that regressors look for"
    for one, other in zip(ours[1:], plain[1:], strict=True):
        assert torch.allclose(one, other)


def test_adversarial_constraints_are_indexed_by_input() -> None:
    head, features = head_and_features()
    loss = AdversarialLoss(head.sizes, hidden=5, weight=1.0, regularization=2.0).double()
    with torch.no_grad():
        for p in loss.parameters():
            p.mul_(3)  # so that norms of biases exceed 1 as well
    free = AdversarialLoss(head.sizes, hidden=5, weight=1.0, regularization=0.0).double()
    free.load_state_dict(loss.state_dict())
    matrices = list(head.linear.weight.split(head.sizes))
    biases = []
    for layer in loss.modules():
        if isinstance(layer, nn.Linear):
            matrices.append(layer.weight)
            biases.append(layer.bias)
    rows = sum(((w[:, k].square().sum() - 1) ** 2) / w.shape[1] for w in matrices for k in range(w.shape[1]))
    over = sum(max(0.0, b.square().sum().item() - 1) for b in biases)
    assert over > 0
    assert torch.allclose(loss(features, head) - free(features, head), 2 * (rows + over))


def test_many_learners_share_the_published_weight() -> None:
    _, features = head_and_features()
    for sizes, share in (((4, 6), 1), ((4, 6, 8), 1), ((2,) * 8, 3 / 28)):
        head = EmbeddingEnsemble(features.shape[1], sizes).double()
        usual, given = ActivationLoss()(features, head), ActivationLoss(0.01 * share)(features, head)
        assert torch.allclose(usual, given), sizes
        assert AdversarialLoss(sizes).weight == pytest.approx(5e-5 * share)


def test_no_gradient_reaches_the_backbone_or_the_bias() -> None:
    head, features = head_and_features()
    for loss in (ActivationLoss(), AdversarialLoss(head.sizes, hidden=4).double()):
        loss(features, head).backward()
        assert features.grad is None
        assert head.linear.bias.grad is None
        assert head.linear.weight.grad is not None


def test_a_sum_of_several_and_of_none() -> None:
    head, features = head_and_features()
    parts: list[nn.Module] = [ActivationLoss(0.3), AdversarialLoss(head.sizes, hidden=4).double()]
    expected = parts[0](features, head) + parts[1](features, head)
    assert torch.equal(DiversitySum(parts)(features, head), expected)
    assert DiversitySum([])(features, head) == 0


def test_reversal_is_the_identity_forward() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-3.0, -4.0]
