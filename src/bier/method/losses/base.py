"""What a base loss is, and how any function of similarities is boosted (method, "Any differentiable loss")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from bier.method.ensemble import boosting_rate, normalize

Schedule = Literal["additive", "convex", "stagewise", "independent"]


@dataclass(frozen=True)
class Boosted:
    """What boosting makes of one batch. All but ``loss`` is detached.

    Attributes:
        loss: a scalar with its gradient, the mean of ``losses``.
        losses: (M,), the learners' losses, weighted where the schedule weighs.
        weights: with ``trace=True``, M tensors of the terms' weights ``B_m``. (n, n) for pairs, the diagonal 0. (n, n)
            for triplets, averaged over the positives of (anchor, negative). (n,) for images with proxies. Of the shape
            of the margins for other losses of terms. Under ``stagewise``, what a pair still counts for at the
            ensemble's score: ``-dl/da`` of pair losses, ``n |dL/ds|`` of other functions of similarities. For a mean
            over anchors the latter is at most about 1. Else empty.
        scores: with ``trace=True``, M tensors of the ensemble's scores after each learner, (n, n) or (n, classes).
            They are ``(1 - nu_m) A_{m-1} + nu_m S_m`` whatever the schedule: what retrieval would see.
    """

    loss: Tensor
    losses: Tensor
    weights: Sequence[Tensor] = ()
    scores: Sequence[Tensor] = ()

    @classmethod
    def of(cls, losses: Sequence[Tensor], weights: Sequence[Tensor] = (), scores: Sequence[Tensor] = ()) -> Boosted:
        """Of the learners' losses, M scalars with their gradients, and of a trace."""
        stacked = torch.stack(list(losses))
        return cls(stacked.mean(), stacked.detach(), tuple(weights), tuple(scores))

    def detach(self) -> Boosted:
        """The same without the gradient of the loss."""
        return Boosted(self.loss.detach(), self.losses, self.weights, self.scores)


class Loss(nn.Module):
    """A scalar function of a score matrix and labels, given as :meth:`forward`. It is boosted stagewise.

    By default the scores are the similarities of all pairs of a batch. Other *families* of losses override
    :meth:`boost`, and declare the schedules that it takes.
    """

    schedules: ClassVar[tuple[Schedule, ...]] = ("stagewise", "independent")
    """What :meth:`boost` takes."""
    default_schedule: ClassVar[Schedule] = "stagewise"
    takes_relations: ClassVar[bool] = False
    """Whether labels may also be relations (n, n): 1 for pairs that are alike, 0 for others, -1 where it is unknown."""

    def scores(self, z: Tensor, learner: int) -> Tensor:
        """Scores of one learner, by default ``S = z z^T`` of shape (n, n), from normalised outputs z (n, d)."""
        return z @ z.T

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar, of scores (n, n) and labels (n,)."""
        raise NotImplementedError

    def boost(
        self, outputs: Sequence[Tensor], labels: Tensor, *, schedule: Schedule, shrinkage: float, trace: bool
    ) -> Boosted:
        """The loss over learners of their raw outputs ``f_m`` (n, d_m) and labels (n,).

        Args:
            outputs: M tensors in float32 or float64, in the order of boosting.
            labels: whole numbers.
            schedule: one of :attr:`schedules`.
            shrinkage: factor on what each learner adds to the ensemble's score, where the schedule has one.
            trace: keep weights and scores.
        """
        s = [self.scores(normalize(f), m) for m, f in enumerate(outputs)]  # S_m
        losses = [self(scores, labels) for scores in (running_average(s) if schedule == "stagewise" else s)]
        if not trace:
            return Boosted.of(losses)
        return Boosted.of(losses, *self.trace([s_m.detach() for s_m in s], labels, schedule))

    def trace(
        self, scores: Sequence[Tensor], labels: Tensor, schedule: Schedule
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Weights and scores that :class:`Boosted` keeps, of each learner's own scores."""
        averages = running_average(scores)
        return self.influence(averages, labels) if schedule == "stagewise" else (), averages

    def influence(self, scores: Sequence[Tensor], labels: Tensor) -> Sequence[Tensor]:
        """``n |dL/ds|`` at each of the score matrices, (n, n) and 0 on the diagonal: what a pair still counts for."""
        return [_influence(self, a, labels) for a in scores]

    def check(self, schedule: Schedule, shrinkage: float) -> None:
        """Refuse settings with which later learners would learn nothing.

        Raises:
            ConfigError: the settings are such. By default none are.
        """


def _influence(loss: Loss, scores: Tensor, labels: Tensor) -> Tensor:
    leaf = scores.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(loss(leaf, labels), leaf)
    return (len(labels) / 2 * (gradient + gradient.T).abs()).fill_diagonal_(0)


def running_average(scores: Iterable[Tensor]) -> list[Tensor]:
    """``A_m = (1 - nu_m) A_{m-1} + nu_m S_m`` for m = 1, 2, ..., with ``A_{m-1}`` held constant."""
    averages: list[Tensor] = []
    for m, s in enumerate(scores, start=1):
        averages.append(averages[-1].detach().lerp(s, boosting_rate(m)) if averages else s)  # nu_1 is 1
    return averages
