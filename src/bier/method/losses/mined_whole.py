"""Boosting of the multi-similarity loss over a small batch, by whole matrices.

Up to `SMALL` pictures, a matrix of all pairs stays in a core's cache, and what takes time is the number of steps. So
there are few of them, and no lists of pairs. Hardest pairs are found by their exponentials, which keep the order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bier.method.losses.base import Schedule
from bier.method.losses.mined import Mining, factors
from bier.method.losses.relations import same_and_different

SMALL = 128
"""Pictures up to which this is faster than `bier.method.losses.mined.MinedSweep`."""


class WholeSweep:
    """What `MinedSweep` is for large batches; takes the same arguments, and gives the same."""

    def __init__(self, loss: Mining, schedule: Schedule, learners: int, like: Tensor, labels: Tensor) -> None:
        self.loss, self.ratio = loss, loss.alpha / loss.beta
        self.learners, self.n = learners, len(labels)
        same, different = same_and_different(labels)
        self.same, self.different = same.to(like).fill_diagonal_(0), different.to(like)
        self.factors = factors(
            loss.alpha, loss.beta, loss.base, schedule == "stagewise", learners, self.n, like.dtype, like.device
        )
        self.losses = like.new_zeros(learners)

    def run(self, z: Sequence[Tensor]) -> list[Tensor]:
        """The losses of normalised outputs, M tensors (n, d_m), and their gradients.

        Returns:
            M tensors (n, d_m). -2/M times them are the gradients of the mean loss in z.
        """
        push, pull = self.exponentials(z)
        if self.loss.epsilon is not None:
            push, pull = self.mined(push, pull, self.loss.epsilon)
        sums = torch.stack([push.sum(2), pull.sum(2)]).mul_(self.factors.shifts)
        self.losses = (sums.log1p() * self.factors.shares).sum((0, 2))
        slopes = sums.add_(1).reciprocal_().mul_(self.factors.slopes).unsqueeze_(3)
        one_sided = push.mul_(slopes[0]).addcmul_(pull, slopes[1])
        d = torch.add(one_sided, one_sided.transpose(1, 2), out=pull)
        return [torch.mm(d_m, z_m) for d_m, z_m in zip(d.unbind(), z, strict=True)]

    def exponentials(self, z: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """``exp(beta s)`` of negative and ``exp(-alpha s)`` of positive pairs, (M, n, n) each, else 0."""
        s = z[0].new_empty(self.learners, self.n, self.n)
        for s_m, z_m in zip(s.unbind(), z, strict=True):
            torch.mm(z_m, z_m.T, out=s_m)
        push = torch.mm(self.factors.averages, s.view(self.learners, -1)).view_as(s)
        pull = torch.mul(push, -self.ratio, out=s).exp_().mul_(self.same)
        return push.exp_().mul_(self.different), pull

    def mined(self, push: Tensor, pull: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """The same with 0 for pairs that are not mined; an anchor without pairs of one kind mines none of the other."""
        least_push = pull.amax(2, keepdim=True).pow_(-1 / self.ratio).mul_(math.exp(-self.loss.beta * epsilon))
        least_pull = push.amax(2, keepdim=True).pow_(-self.ratio).mul_(math.exp(-self.loss.alpha * epsilon))
        return (
            torch.gt(push, least_push, out=torch.empty_like(push)).mul_(push),
            torch.gt(pull, least_pull, out=torch.empty_like(pull)).mul_(pull),
        )
