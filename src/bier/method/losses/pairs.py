"""Losses that are sums over pairs: binomial deviance and contrastive."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bier.errors import LossError
from bier.method.losses.base import Loss, Schedule, single_class

LARGE = 2**24
"""From here on float32 skips whole numbers."""


class PairLoss(Loss):
    """A sum of terms ``l(s_ij, y_ij)`` over ordered pairs, weighted so that positives and negatives count alike.

    To write one, give :meth:`terms`; everything else follows by automatic differentiation. Boosting speaks of a pair's
    *margin* ``a = slope (s - offset)``, large where the pair is handled well (so ``slope`` is negative for negative
    pairs), and weighs it by ``-dl/da``.
    """

    default_schedule: ClassVar[Schedule] = "convex"
    additive_initial: ClassVar[float] = 0.0
    """``A_0`` of the additive schedule."""
    slopes: tuple[float, float] = (1.0, -1.0)
    """``slope`` of positive and of negative pairs."""
    offsets: tuple[float, float] = (0.0, 0.0)
    """``offset`` of positive and of negative pairs."""

    def terms(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """Unreduced terms, each a function of its own similarity, of the same shape as both arguments."""
        raise NotImplementedError

    def value_and_weight(self, margin: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Terms ``l`` and weights ``-dl/da`` at margins of any shape, which may be overwritten.

        ``y`` is 1 for positive pairs and 0 for negative ones, of the margins' type, and broadcasts to their shape.
        """
        slope = choose(y, self.slopes)
        with torch.enable_grad():
            s = (margin / slope + choose(y, self.offsets)).detach().requires_grad_()
            terms = self.terms(s, y.bool().expand_as(s))
            if not isinstance(terms, Tensor) or terms.shape != s.shape or not terms.requires_grad:
                found = f"shape {tuple(terms.shape)}" if isinstance(terms, Tensor) else type(terms).__name__
                constant = " and no gradient" if isinstance(terms, Tensor) and not terms.requires_grad else ""
                raise LossError(
                    f"returned {found}{constant} for similarities of shape {tuple(s.shape)}",
                    where=f"{type(self).__name__}.terms",
                    remedy="return one unreduced term per similarity, made with torch operations",
                )
            (derivative,) = torch.autograd.grad(terms.sum(), s)
        return terms.detach(), -derivative / slope

    def weight(self, margin: Tensor, y: Tensor) -> Tensor:
        """``-dl/da`` at margins, which may be overwritten."""
        return self.value_and_weight(margin, y)[1]

    def weights_at(self, scores: Tensor, labels: Tensor) -> Tensor:
        """``-dl/da`` at scores (M, n, n), the diagonals 0: how much each pair still pulls there."""
        y = (labels[:, None] == labels).to(scores)
        weights = self.weight((scores - choose(y, self.offsets)) * choose(y, self.slopes), y)
        weights.diagonal(dim1=1, dim2=2).zero_()
        return weights

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """``sum_ij w_ij l(s_ij, y_ij)``, a scalar, of scores (n, n) and labels (n,)."""
        same = labels[:, None] == labels
        weights = spread(same.to(scores), pair_weights(labels)[1]).fill_diagonal_(0)
        return (weights * self.terms(scores, same)).sum()


def choose(y: Tensor, values: tuple[float, float]) -> Tensor | float:
    """The first value where ``y`` is 1, the second where it is 0; a plain number where both are the same."""
    return values[0] if values[0] == values[1] else spread(y, values)


def spread(y: Tensor, values: tuple[float, float]) -> Tensor:
    """The first value where ``y`` is 1, the second where it is 0.

    Arithmetic is several times faster than ``torch.where``, which CPUs do not vectorise for masks.
    """
    return y.mul(values[0] - values[1]).add_(values[1])


def pair_weights(labels: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Labels (n,) that float32 can hold; and ``1 / sum(y)`` and ``1 / sum(1 - y)`` over ordered pairs.

    The diagonal is counted in the first sum (method, "Pair normalisation").
    """
    counts = Counter(labels.tolist())
    if len(counts) < 2:
        raise single_class()
    if max(counts) >= LARGE or min(counts) <= -LARGE:
        labels = torch.unique(labels, return_inverse=True)[1]
    positives = sum([count * count for count in counts.values()])
    return labels, (1.0 / positives, 1.0 / (labels.shape[0] ** 2 - positives))


class BinomialDeviance(PairLoss):
    """``log(1 + exp(-a))`` with ``a = alpha (s - beta) c``, ``c = 1`` for positives and ``-cost`` for negatives.

    The authors' choice: smooth everywhere, so that every pair keeps some weight.
    """

    default_schedule: ClassVar[Schedule] = "additive"
    additive_initial: ClassVar[float] = 0.5

    def __init__(self, alpha: float = 2.0, beta: float = 0.5, cost: float = 25.0) -> None:
        super().__init__()
        self.slopes = (alpha, -alpha * cost)
        self.offsets = (beta, beta)

    def terms(self, similarity: Tensor, positive: Tensor) -> Tensor:
        y = positive.to(similarity)
        return F.softplus((similarity - choose(y, self.offsets)) * -choose(y, self.slopes))

    def value_and_weight(self, margin: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # softplus(x) = max(x, 0) - log(max(p, 1 - p)) with p = sigmoid(x): three times faster than torch's softplus,
        # which is not vectorised on CPUs, and exact to 6e-8 in the value; the weight p is exact.
        x = margin.neg_()
        weight = torch.sigmoid(x)
        larger = torch.rsub(weight, 1)
        torch.maximum(larger, weight, out=larger)
        return x.relu_().sub_(larger.log_()), weight

    def weight(self, margin: Tensor, y: Tensor) -> Tensor:
        return margin.neg_().sigmoid_()


class Contrastive(PairLoss):
    """``(1 - s)^2`` for positives and ``max(0, s - margin)`` for negatives, squared on request."""

    def __init__(self, margin: float = 0.5, squared: bool = False) -> None:
        super().__init__()
        self.offsets = (1.0, margin)
        self.squared = squared

    def terms(self, similarity: Tensor, positive: Tensor) -> Tensor:
        distance = 1 - similarity
        excess = F.relu(similarity - self.offsets[1])
        return torch.where(positive, distance.square(), excess.square() if self.squared else excess)

    def value_and_weight(self, margin: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        shortfall = F.relu(-margin)
        if self.squared:
            return shortfall.square(), 2 * shortfall
        positive = y.bool()
        return (
            torch.where(positive, shortfall.square(), shortfall),
            torch.where(positive, 2 * shortfall, (margin < 0).to(margin)),
        )
