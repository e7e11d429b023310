"""Losses that are means of terms, boosted by reweighting the terms (method, "Any differentiable loss")."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bier.errors import LossError
from bier.method.ensemble import normalize
from bier.method.losses.base import Boosted, Loss, Schedule, running_average
from bier.method.losses.checks import check_terms


class TermLoss(Loss):
    """The mean of terms ``l(a)``, each a function of a *margin* ``a``, large where the term is handled well.

    To write one, give :meth:`margins` and :meth:`penalty`. Boosting multiplies the terms of a learner by ``-dl/da`` at
    the score of the ensemble before it. Where a closed form is better, give :meth:`terms` and :meth:`weights` instead.
    Where there are too many terms to hold, give :meth:`reweighted` and :meth:`forward`.
    """

    schedules: ClassVar[tuple[Schedule, ...]] = ("additive", "convex", "stagewise", "independent")
    default_schedule: ClassVar[Schedule] = "convex"

    def margins(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The margin ``a`` of each term at scores (n, n), in a tensor of any shape.

        Which terms there are, and their order, depends on the labels alone.
        """
        raise NotImplementedError

    def penalty(self, margins: Tensor) -> Tensor:
        """``l(a)`` of each margin by itself, of the same shape."""
        raise NotImplementedError

    def terms(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Unreduced terms at scores, of the shape of the margins."""
        return self._penalty(self.margins(scores, labels))

    def weights(self, scores: Tensor, labels: Tensor) -> Tensor:
        """``-dl/da`` of each term at scores, of the shape of the margins."""
        with torch.enable_grad():
            a = self.margins(scores, labels).detach().requires_grad_()
            (derivative,) = torch.autograd.grad(self._penalty(a).sum(), a)
        return -derivative

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The mean of the terms, a scalar."""
        return self.terms(scores, labels).mean()

    def reweighted(self, scores: Tensor, ensemble: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The mean, a scalar, of the terms at scores, each times its weight ``B`` at the ensemble's scores.

        Returns:
            the mean; and the weights, which are 1 where there is no ensemble yet.
        """
        terms = self.terms(scores, labels)
        with torch.no_grad():
            weights = torch.ones_like(terms) if ensemble is None else self.weights(ensemble, labels)
        return (weights * terms).mean(), weights

    def boost(
        self, outputs: Sequence[Tensor], labels: Tensor, *, schedule: Schedule, shrinkage: float, trace: bool
    ) -> Boosted:
        if schedule not in ("additive", "convex"):
            return super().boost(outputs, labels, schedule=schedule, shrinkage=shrinkage, trace=trace)
        s = [self.scores(normalize(f), m) for m, f in enumerate(outputs)]  # S_m
        constants = [s_m.detach() for s_m in s]
        before = [None, *accumulate(constants[:-1], schedule, shrinkage)]  # A_{m-1}
        losses, weights = zip(*[self.reweighted(*pair, labels) for pair in zip(s, before, strict=True)], strict=True)
        return Boosted.of(losses, weights, running_average(constants)) if trace else Boosted.of(losses)

    def _penalty(self, margins: Tensor) -> Tensor:
        if margins.numel() == 0:
            raise LossError(
                f"the batch has no terms for {type(self).__name__}",
                where="labels",
                remedy="draw at least two classes, and at least two images of each",
            )
        return check_terms(self.penalty(margins), margins, f"{type(self).__name__}.penalty")


def accumulate(scores: Sequence[Tensor], schedule: Schedule, shrinkage: float) -> list[Tensor]:
    """The ensemble's score after each learner, of the learners' scores.

    ``additive``: ``A_m = A_{m-1} + shrinkage S_m``; ``convex``: ``A_m = (1 - nu_m) A_{m-1} + nu_m shrinkage S_m``.
    """
    shrunk = [shrinkage * s for s in scores]
    return list(itertools.accumulate(shrunk)) if schedule == "additive" else running_average(shrunk)
