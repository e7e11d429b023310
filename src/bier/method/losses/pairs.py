"""Losses that are sums over pairs, binomial deviance and contrastive among them (method, "Base losses")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bier.errors import ConfigError
from bier.method.losses.base import Boosted, Loss, Schedule
from bier.method.losses.checks import check_terms
from bier.method.losses.pair_weights import choose, pair_weights, spread
from bier.method.losses.pairwise import boost_block, boost_pairs
from bier.method.losses.relations import same_and_different

VANISHING = 1e-6
"""A schedule that gives the hardest possible pair less weight than this teaches later learners nothing."""


class PairLoss(Loss):
    """A sum of terms ``l(s_ij, y_ij)`` over ordered pairs, weighted so that positives and negatives count alike.

    To write one, give :meth:`terms`. Everything else follows by automatic differentiation. Boosting weighs a pair by
    ``-dl/da``, where ``a = slope (s - offset)`` is its *margin*. It is large where the pair is handled well, so
    ``slope`` is negative for negative pairs.
    """

    schedules: ClassVar[tuple[Schedule, ...]] = ("additive", "convex", "stagewise", "independent")
    default_schedule: ClassVar[Schedule] = "convex"
    takes_relations: ClassVar[bool] = True
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
            terms = check_terms(self.terms(s, y.bool().expand_as(s)), s, f"{type(self).__name__}.terms")
            (derivative,) = torch.autograd.grad(terms.sum(), s)
        return terms.detach(), -derivative / slope

    def weight(self, margin: Tensor, y: Tensor) -> Tensor:
        """``-dl/da`` at margins, which may be overwritten."""
        return self.value_and_weight(margin, y)[1]

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """``sum_ij w_ij l(s_ij, y_ij)``, a scalar, of scores (n, n) and labels (n,) or relations (n, n)."""
        same, different = same_and_different(labels)
        weights = spread(same.to(scores), pair_weights(labels)[1]).mul_(same | different).fill_diagonal_(0)
        return (weights * self.terms(scores, same)).sum()

    def boost(
        self, outputs: Sequence[Tensor], labels: Tensor, *, schedule: Schedule, shrinkage: float, trace: bool
    ) -> Boosted:
        return boost_pairs(self, outputs, labels, schedule=schedule, shrinkage=shrinkage, trace=trace)

    def check(self, schedule: Schedule, shrinkage: float) -> None:
        """Refuse settings with which even the worst pair (a negative at 1, a positive at -1) no longer counts."""
        y = torch.tensor([1.0, 0.0], dtype=torch.float64)
        worst = (1 - 2 * y - choose(y, self.offsets)) * choose(y, self.slopes)
        weights = boost_block(self, schedule, shrinkage, worst.repeat(2, 1), y)[2]  # two learners agree
        if weights is None:
            return
        for kind, weight in zip(("positive", "negative"), weights[0].tolist(), strict=True):
            if weight < VANISHING:
                raise ConfigError(
                    f"{schedule!r} with shrinkage {shrinkage:g} weighs even the hardest {kind} pair below "
                    f"{VANISHING:g}: later learners would learn nothing",
                    where="shrinkage",
                    remedy="leave shrinkage out (1 for 'convex', 0.06 for 'additive'), or use 'stagewise'",
                )


class BinomialDeviance(PairLoss):
    """``log(1 + exp(-a))`` with ``a = alpha (s - beta) c``, ``c = 1`` for positives and ``-cost`` for negatives.

    The authors' choice. It is smooth everywhere, so every pair keeps some weight.
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
        # softplus(x) = max(x, 0) - log(max(p, 1 - p)) with p = sigmoid(x). It is three times faster than torch's, which
        # is not vectorised on CPUs. The value is exact to 6e-8, the weight p is exact.
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


MEMBERS = {"binomial_deviance": BinomialDeviance, "contrastive": Contrastive}
