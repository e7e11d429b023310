"""Online gradient boosting over the learners of one batch (Opitz et al. 2017, algorithm 1; method, "Boosting").

Each family of losses says how it is boosted. ``Loss.boost`` goes stagewise, ``TermLoss.boost`` and ``PairLoss.boost``
reweight terms, and ``EmbeddingLoss.boost`` extends vectors. In all of them weights and earlier scores are constants:
gradient reaches learner m, and the backbone, through ``S_m`` alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bier.errors import ConfigError, LossError, nearest
from bier.method.losses.base import Boosted, Loss, Schedule
from bier.method.losses.checks import whole_numbers
from bier.method.losses.function import as_loss

SHRINKAGE = {"additive": 0.06, "convex": 1.0}
"""What is usual for the schedules that reweight terms. The others have no shrinkage."""


class OnlineBoosting(nn.Module):
    """A base loss, boosted over learners. ``boost(learners, labels)`` returns the scalar loss of a batch.

    Args:
        loss: one of ``bier.losses``, or any function ``(similarity (n, n), labels (n,)) -> scalar``.
        schedule: one of ``loss.schedules``; ``None`` takes what suits the loss. ``"additive"`` is the authors' program:
            margins add up with a small shrinkage. ``"convex"`` is the paper: the score is a running average with
            weights ``nu_m``. ``"stagewise"`` boosts any loss. ``"independent"`` trains every learner on its own.
        shrinkage: factor on what each learner adds: 0.06 by default for ``additive``, 1 for ``convex``.

    Raises:
        ConfigError: a schedule that the loss does not have, or a shrinkage with which the weights of later learners
            vanish.
    """

    last: Boosted
    """What the last call made of its batch, all of it detached."""

    def __init__(
        self,
        loss: Loss | Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule | None = None,
        shrinkage: float | None = None,
    ) -> None:
        super().__init__()
        self.loss = as_loss(loss)
        self.schedule: Schedule = schedule or self.loss.default_schedule
        self.shrinkage = SHRINKAGE.get(self.schedule, 1.0) if shrinkage is None else float(shrinkage)
        self._check()

    def forward(self, learners: Sequence[Tensor], labels: Tensor, *, trace: bool = False) -> Tensor:
        """The loss, a scalar, and nothing else: ``boost(...).loss``. The rest stays in :attr:`last`."""
        boosted = self.boost(learners, labels, trace=trace)
        self.last = boosted.detach()
        return boosted.loss

    def boost(self, learners: Sequence[Tensor], labels: Tensor, *, trace: bool = False) -> Boosted:
        """The loss, and what else boosting knows, of the learners' raw outputs ``f_m`` (n, d_m) and labels (n,).

        Args:
            learners: M tensors, in the order of boosting; any M, one included.
            labels: whole numbers (n,); or relations (n, n) of a loss that takes them: 1 for pairs that are alike, 0 for
                others, -1 for those of which nothing is known.
            trace: keep every term's weight and score.

        Raises:
            LossError: a batch of one class, labels that do not fit, or a loss that breaks its contract.
        """
        if isinstance(learners, Tensor) or not learners:
            raise LossError(
                "no learners" if not isinstance(learners, Tensor) else "one tensor instead of one for each learner",
                remedy="pass head.learners(features), a tuple of tensors",
            )
        for f in learners:
            labels = whole_numbers(labels, len(f))
        if labels.ndim == 2 and not self.loss.takes_relations:
            raise LossError(
                f"{type(self.loss).__name__} takes one label a picture, and no relations",
                where="labels",
                remedy="give labels (n,), or take a loss of pairs such as MultiSimilarity",
            )
        outputs = [f if f.dtype in (torch.float32, torch.float64) else f.float() for f in learners]
        with _without_autocast(outputs[0].device.type):
            return self.loss.boost(outputs, labels, schedule=self.schedule, shrinkage=self.shrinkage, trace=trace)

    def _check(self) -> None:
        name = type(self.loss).__name__
        if self.schedule in SHRINKAGE and self.schedule not in self.loss.schedules:
            raise ConfigError(
                f"{name} does not split into terms, which {self.schedule!r} would reweight",
                where="schedule",
                remedy="use 'stagewise', or a loss of terms such as the binomial deviance",
            )
        if self.schedule not in self.loss.schedules:
            raise ConfigError(
                f"unknown schedule {self.schedule!r} for {name}",
                where="schedule",
                remedy=nearest(str(self.schedule), self.loss.schedules),
            )
        if self.schedule in SHRINKAGE and not 0 < self.shrinkage < float("inf"):
            raise ConfigError(
                f"{self.shrinkage} is not positive and finite", where="shrinkage", remedy="use one above 0"
            )
        self.loss.check(self.schedule, self.shrinkage)


def _without_autocast(device: str) -> contextlib.AbstractContextManager[object]:
    """Scores need all of float32."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()
