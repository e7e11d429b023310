"""Online gradient boosting over the learners of one batch (Opitz et al. 2017, algorithm 1; method, "Boosting").

Two readings of "boost any differentiable loss":

- *reweighting*: the loss is a sum of terms; learner m's terms are weighed by ``-dl/ds`` at the ensemble's score so far;
- *stagewise*: learner m minimises ``L((1 - nu_m) A_{m-1} + nu_m S_m)`` with the ensemble's score ``A_{m-1}`` constant.

Either way weights and earlier scores are constants: gradient reaches learner m, and the backbone, through ``S_m``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bier.errors import ConfigError, LossError, nearest
from bier.method.ensemble import boosting_rate, normalize
from bier.method.losses.base import FunctionLoss, Loss, Schedule, check_labels
from bier.method.losses.external import EmbeddingLoss, extend
from bier.method.losses.pairs import PairLoss, choose
from bier.method.losses.proxies import NormalizedSoftmax, ProxyLoss
from bier.method.losses.triplet import Triplet
from bier.method.losses.pairwise import boost_block, boost_pairs

SCHEDULES: tuple[Schedule, ...] = ("additive", "convex", "stagewise", "independent")
SHRINKAGE = {"additive": 0.06, "convex": 1.0}
VANISHING = 1e-6
"""A schedule that gives the hardest possible pair less weight than this teaches later learners nothing."""


@dataclass(frozen=True)
class Boosted:
    """What the last batch looked like, detached.

    Attributes:
        losses: (M,), the learners' (weighted) losses; their mean is the loss.
        weights: with ``trace=True``, M tensors of the terms' weights ``B_m``: (n, n) for pairs, the diagonal 0; (n, n)
            for triplets, averaged over the positives of (anchor, negative); (n,) for samples with proxies. Under
            ``stagewise``, what a pair still counts for at the ensemble's score: ``-dl/da`` of pair losses, and
            ``n |dL/ds|`` of other functions of similarities, for which a mean over anchors gives at most about 1. Empty
            for losses with proxies and losses of embeddings.
        scores: with ``trace=True``, M tensors of the ensemble's scores after each learner, ``(1 - nu_m) A_{m-1} +
            nu_m S_m`` whatever the schedule: what retrieval would see. (n, n) or (n, classes).
    """

    losses: Tensor
    weights: Sequence[Tensor] = field(default=())
    scores: Sequence[Tensor] = field(default=())


class OnlineBoosting(nn.Module):
    """A base loss, boosted over learners. ``boost(learners, labels)`` returns the scalar loss of a batch.

    Args:
        loss: one of ``bier.losses``, or any function ``(similarity (n, n), labels (n,)) -> scalar``.
        schedule: ``"additive"`` (the authors' program: margins add up with a small shrinkage), ``"convex"`` (the
            paper: the score is a running average with weights ``nu_m``), ``"stagewise"`` (any loss), or
            ``"independent"`` (every learner on its own, no boosting). ``None`` takes what suits the loss.
        shrinkage: factor on what each learner adds: 0.06 by default for ``additive``, 1 for ``convex``.

    Raises:
        ConfigError: an unknown schedule, a schedule that the loss has no terms for, or a shrinkage with which the
            weights of later learners vanish.
    """

    last: Boosted
    """The last call's losses, weights and scores."""

    def __init__(
        self,
        loss: Loss | Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule | None = None,
        shrinkage: float | None = None,
    ) -> None:
        super().__init__()
        if type(loss).__module__.startswith("pytorch_metric_learning"):
            raise ConfigError(
                f"{type(loss).__name__} takes embeddings, not similarities",
                where="OnlineBoosting",
                remedy="wrap it: bier.losses.PytorchMetricLearning(loss), or EmbeddingLoss where it has proxies",
            )
        self.loss = loss if isinstance(loss, Loss) else FunctionLoss(loss)
        self.schedule: Schedule = schedule or self.loss.default_schedule
        if self.schedule not in SCHEDULES:
            raise ConfigError(
                f"unknown schedule {schedule!r}", where="loss.schedule", remedy=nearest(str(schedule), SCHEDULES)
            )
        self.shrinkage = SHRINKAGE.get(self.schedule, 1.0) if shrinkage is None else float(shrinkage)
        self._check()

    def forward(self, learners: Sequence[Tensor], labels: Tensor, *, trace: bool = False) -> Tensor:
        """The loss, a scalar, of the learners' raw outputs ``f_m`` (n, d_m) and labels (n,).

        Args:
            learners: M tensors, in the order of boosting; any M, one included.
            labels: whole numbers.
            trace: keep every term's weight and score in :attr:`last`.

        Raises:
            LossError: a batch of one class, labels that do not fit, or a loss that breaks its contract.
        """
        if isinstance(learners, Tensor) or not learners:
            raise LossError(
                "no learners" if not isinstance(learners, Tensor) else "one tensor instead of one for each learner",
                remedy="pass head.learners(features), a tuple of tensors",
            )
        for f in learners:
            check_labels(labels, len(f))
        device = learners[0].device.type
        if torch.is_autocast_enabled(device):  # scores need all of float32
            with torch.autocast(device, enabled=False):
                return self(learners, labels, trace=trace)  # type: ignore[no-any-return]
        outputs = [f if f.dtype in (torch.float32, torch.float64) else f.float() for f in learners]
        if isinstance(self.loss, PairLoss):
            value, losses, pairs = boost_pairs(self.loss, self.schedule, self.shrinkage, outputs, labels, trace=trace)
            if pairs is None:
                self.last = Boosted(losses)
            elif self.schedule == "stagewise":
                self.last = Boosted(losses, tuple(self.loss.weights_at(pairs.scores, labels)), tuple(pairs.scores))
            else:
                self.last = Boosted(losses, tuple(pairs.weights), tuple(pairs.scores))
            return value
        z = [normalize(f) for f in outputs]
        if isinstance(self.loss, EmbeddingLoss):
            return self._boost_embeddings(z, labels, trace)
        return self._boost_scores(z, labels, trace)

    def _boost_scores(self, z: Sequence[Tensor], labels: Tensor, trace: bool) -> Tensor:
        losses, weights, scores = [], [], []
        ensemble: Tensor | None = None  # A_{m-1}
        average: Tensor | None = None  # the same for the trace, of whatever schedule
        for m, z_m in enumerate(z):
            rate = boosting_rate(m + 1)
            s = self.loss.scores(z_m, m)
            if self.schedule == "stagewise":
                ensemble = s if ensemble is None else ensemble.detach().lerp(s, rate)
                losses.append(self.loss(ensemble, labels))
            elif self.schedule == "independent":
                losses.append(self.loss(s, labels))
            else:
                value, weight = self._reweighted(s, ensemble, labels)
                losses.append(value)
                weights.append(weight)
                ensemble = self._accumulate(ensemble, s.detach(), rate)
            if trace:
                average = s.detach() if average is None else average.lerp(s.detach(), rate)
                scores.append(average)
                if self.schedule == "stagewise" and not isinstance(self.loss, ProxyLoss):
                    weights.append(self._influence(average, labels))
        return self._finish(losses, weights if trace else (), scores)

    def _influence(self, scores: Tensor, labels: Tensor) -> Tensor:
        """``n |dL/ds|``, (n, n), of the loss at scores; 0 on the diagonal."""
        leaf = scores.clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.loss(leaf, labels), leaf)
        return (len(labels) / 2 * (gradient + gradient.T).abs()).fill_diagonal_(0)

    def _boost_embeddings(self, z: Sequence[Tensor], labels: Tensor, trace: bool) -> Tensor:
        assert isinstance(self.loss, EmbeddingLoss)
        losses, scores = [], []
        ensemble: Tensor | None = None  # the embedding whose dot products are A_m
        for m, z_m in enumerate(z):
            ensemble = extend(ensemble, z_m, boosting_rate(m + 1))
            losses.append(self.loss.stage(m, ensemble, labels))
            if trace:
                scores.append(ensemble.detach() @ ensemble.detach().T)
        return self._finish(losses, (), scores)

    def _finish(self, losses: Sequence[Tensor], weights: Sequence[Tensor], scores: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(losses))
        self.last = Boosted(stacked.detach(), weights, scores)
        return stacked.mean()

    def _reweighted(self, s: Tensor, ensemble: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.loss, Triplet):
            return self.loss.reweighted(s, ensemble, labels)
        assert isinstance(self.loss, NormalizedSoftmax)
        terms = self.loss.terms(s, labels)
        with torch.no_grad():
            weight = torch.ones_like(terms) if ensemble is None else self.loss.weight(ensemble, labels)
        return (weight * terms).mean(), weight

    def _accumulate(self, ensemble: Tensor | None, s: Tensor, rate: float) -> Tensor:
        if self.schedule == "additive":
            return self.shrinkage * s if ensemble is None else ensemble + self.shrinkage * s
        return self.shrinkage * s if ensemble is None else ensemble.lerp(self.shrinkage * s, rate)

    def _check(self) -> None:
        name = type(self.loss).__name__
        if isinstance(self.loss, EmbeddingLoss) and self.schedule != "stagewise":
            raise ConfigError(f"{name} is boosted stagewise only", where="loss.schedule", remedy="use 'stagewise'")
        if self.schedule in ("stagewise", "independent"):
            return
        if not isinstance(self.loss, PairLoss | Triplet | NormalizedSoftmax):
            raise ConfigError(
                f"{name} does not split into terms, which {self.schedule!r} would reweight",
                where="loss.schedule",
                remedy="use 'stagewise', which boosts any differentiable loss, or a loss of terms (binomial_deviance)",
            )
        if not 0 < self.shrinkage < float("inf"):
            raise ConfigError(
                f"{self.shrinkage} is not positive and finite", where="loss.shrinkage", remedy="use one above 0"
            )
        if isinstance(self.loss, PairLoss):
            self._refuse_vanishing_weights(self.loss)

    def _refuse_vanishing_weights(self, loss: PairLoss) -> None:
        """Refuse settings with which even the worst pair (a negative at 1, a positive at -1) no longer counts."""
        y = torch.tensor([1.0, 0.0], dtype=torch.float64)
        worst = (1 - 2 * y - choose(y, loss.offsets)) * choose(y, loss.slopes)
        weights = boost_block(loss, self.schedule, self.shrinkage, worst.repeat(2, 1), y)[2]  # two learners agree
        assert weights is not None
        for kind, weight in zip(("positive", "negative"), weights[0].tolist(), strict=True):
            if weight < VANISHING:
                raise ConfigError(
                    f"{self.schedule!r} with shrinkage {self.shrinkage:g} weighs even the hardest {kind} pair below "
                    f"{VANISHING:g}: later learners would learn nothing",
                    where="loss.shrinkage",
                    remedy="leave shrinkage out (1 for 'convex', 0.06 for 'additive'), or use 'stagewise'",
                )
