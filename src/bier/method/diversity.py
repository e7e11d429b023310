"""What pushes learners apart: the activation loss and the adversarial loss.

Both act on ``g_m = stop_gradient(phi) W_m``: no bias, not normalised, and no gradient into the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bier.method.ensemble import EmbeddingEnsemble


def responses(features: Tensor, head: EmbeddingEnsemble) -> tuple[Tensor, ...]:
    """``g_m``, shapes (n, d_m), of features (n, d_in)."""
    return head.cut(F.linear(features.detach(), head.linear.weight))


def joint_activation(g: Sequence[Tensor]) -> Tensor:
    """``sum_{i<j} mean_{n,k,l} (g_i[n,k] g_j[n,l])^2``, a scalar.

    The mean over k and l of the squared outer product is the product of the two means. A sum over pairs is half the
    square of the sum, less half the sum of the squares. So nothing of shape (n, d_i, d_j) is built.
    """
    q = torch.stack([torch.linalg.vecdot(g_m, g_m) / g_m.shape[1] for g_m in g])  # (M, n)
    return 0.5 * (q.sum(dim=0).square() - q.square().sum(dim=0)).mean()


def usual_weight(published: float, learners: int) -> float:
    """lambda_div for any number of learners.

    The losses are sums over pairs of learners, and the published weight is for three learners, which make three pairs.
    More pairs share it. With eight learners the published weight costs Recall@1, as docs/experiments.md shows.
    """
    return published * min(1.0, 3 / max(1, learners * (learners - 1) // 2))


class ActivationLoss(nn.Module):
    """Punishes learners that respond to the same image (Opitz et al. 2017; method, "Diversity").

    Args:
        weight: lambda_div, of the whole. ``None``: 0.01, less for more than three learners (:func:`usual_weight`).
        regularization: lambda_w, of the constraint that each output unit's weights have norm 1.
    """

    def __init__(self, weight: float | None = None, regularization: float = 100.0) -> None:
        super().__init__()
        self.weight = weight
        self.regularization = regularization

    def forward(self, features: Tensor, head: EmbeddingEnsemble) -> Tensor:
        """The loss, a scalar, of features (n, d_in) under the head's weights."""
        norms = head.linear.weight.square().sum(dim=1)  # (D,): over the inputs of an output unit
        constraint = sum_of_means(head.cut((norms - 1).square()))
        weight = usual_weight(0.01, len(head.sizes)) if self.weight is None else self.weight
        return weight * (joint_activation(responses(features, head)) + self.regularization * constraint)


class AdversarialLoss(nn.Module):
    """Regressors learn to predict one learner from another, learners to hide from them (Opitz et al. 2018).

    For each pair i < j a regressor ``r_ji`` maps learner j, the larger, into the space of learner i. It maximises
    the elementwise product of its output with learner i; reversed gradients make the learners minimise it.

    Args:
        sizes: dimensions of the learners, as in the ensemble.
        hidden: hidden units of each regressor.
        weight: lambda_div, of the whole. ``None``: 5e-5, less for more than three learners (:func:`usual_weight`).
        regularization: lambda_w, of the constraints on the regressors' and the ensemble's weights.
    """

    def __init__(
        self, sizes: Sequence[int], hidden: int = 512, weight: float | None = None, regularization: float = 1e5
    ) -> None:
        super().__init__()
        self.weight = usual_weight(5e-5, len(sizes)) if weight is None else weight
        self.regularization = regularization
        self.regressors = nn.ModuleDict(
            {
                f"{j}_to_{i}": nn.Sequential(nn.Linear(sizes[j], hidden), nn.ReLU(), nn.Linear(hidden, sizes[i]))
                for i in range(len(sizes))
                for j in range(i + 1, len(sizes))
            }
        )

    def forward(self, features: Tensor, head: EmbeddingEnsemble) -> Tensor:
        """The loss, a scalar, of features (n, d_in) under the head's weights."""
        g = [reverse_gradient(g_m) for g_m in responses(features, head)]
        similarity = features.new_zeros(())
        constraint = sum_of_means(  # rows are indexed by input here, unlike in the activation loss
            [(w.square().sum(dim=0) - 1).square() for w in head.cut(head.linear.weight, dim=0)]
        )
        for name, regressor in self.regressors.items():
            j, i = map(int, name.split("_to_"))
            similarity = similarity + (g[i] * regressor(g[j])).square().mean()
            constraint = constraint + _regressor_constraint(regressor)
        return self.weight * (self.regularization * constraint - similarity)


def _regressor_constraint(regressor: nn.Module) -> Tensor:
    layers = [layer for layer in regressor.modules() if isinstance(layer, nn.Linear)]
    rows = sum_of_means([(layer.weight.square().sum(dim=0) - 1).square() for layer in layers])
    return rows + sum(F.relu(layer.bias.square().sum() - 1) for layer in layers)


def sum_of_means(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.mean() for part in parts]).sum()


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


def reverse_gradient(x: Tensor) -> Tensor:
    """The identity forward; backward it flips the sign of the gradient."""
    return _ReverseGradient.apply(x)  # type: ignore[no-any-return]


class DiversitySum(nn.Module):
    """The sum of several diversity losses; of none, zero."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, features: Tensor, head: EmbeddingEnsemble) -> Tensor:
        total = features.new_zeros(())
        for part in self.parts:
            total = total + part(features, head)
        return total
