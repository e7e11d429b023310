"""Losses of embeddings, those of pytorch-metric-learning above all (method, "Any differentiable loss").

Every learner's loss sees the vector ``[sqrt(1 - nu_m) E_{m-1}, sqrt(nu_m) z_m]``, where ``E_{m-1}`` is held constant.
Its length is 1, and its dot products are the scores ``(1 - nu_m) A_{m-1} + nu_m S_m``. So the loss may use any
distance, mine and reduce as it likes. What reaches ``S_m`` is its functional gradient at the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from bier.errors import ConfigError, LossError
from bier.method.ensemble import boosting_rate, normalize
from bier.method.losses.base import Boosted, Loss, Schedule
from bier.method.losses.checks import check_scalar


class EmbeddingLoss(Loss):
    """A loss of embeddings and labels, with one instance for each learner. It is boosted stagewise.

    Args:
        make: ``make(dimensions) -> module``, called as ``module(embeddings, labels) -> scalar``; ``dimensions`` are
            ``d_1``, ``d_1 + d_2``, ...
        sizes: dimensions of the learners.

    >>> from pytorch_metric_learning.losses import ProxyAnchorLoss
    >>> loss = EmbeddingLoss(lambda dimensions: ProxyAnchorLoss(100, dimensions), sizes=(96, 160, 256))
    """

    schedules: ClassVar[tuple[Schedule, ...]] = ("stagewise",)

    def __init__(self, make: Callable[[int], nn.Module], sizes: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList([make(sum(sizes[: m + 1])) for m in range(len(sizes))])

    def stage(self, learner: int, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of a learner, counted from 0, on embeddings (n, d_1 + ... + d_m)."""
        if learner >= len(self.stages):
            raise LossError(
                f"made for {len(self.stages)} learners, called with more",
                where=type(self).__name__,
                remedy="give it the sizes of the ensemble",
            )
        return _value(self.stages[learner], embeddings, labels)

    def boost(
        self, outputs: Sequence[Tensor], labels: Tensor, *, schedule: Schedule, shrinkage: float, trace: bool
    ) -> Boosted:
        ensembles: list[Tensor] = []  # E_m, whose dot products are A_m
        for m, f in enumerate(outputs, start=1):
            ensembles.append(extend(ensembles[-1] if ensembles else None, normalize(f), boosting_rate(m)))
        losses = [self.stage(m, e, labels) for m, e in enumerate(ensembles)]
        return Boosted.of(losses, scores=[e.detach() @ e.detach().T for e in ensembles] if trace else ())


class PytorchMetricLearning(EmbeddingLoss):
    """A loss of pytorch-metric-learning without proxies. One instance serves all learners.

    Args:
        loss: for example ``pytorch_metric_learning.losses.CircleLoss()``.
        miner: for example ``pytorch_metric_learning.miners.MultiSimilarityMiner()``. It mines at the ensemble's scores.

    Raises:
        ConfigError: the loss holds proxies, whose dimensions would fit one learner only.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__(lambda dimensions: loss, sizes=())
        if any(parameter.ndim > 1 for parameter in loss.parameters()):
            raise ConfigError(
                f"{type(loss).__name__} holds proxies, and learners need proxies of their own",
                where="PytorchMetricLearning",
                remedy="boost it with bier.losses.EmbeddingLoss(lambda dimensions: ..., sizes)",
            )
        self.loss, self.miner = loss, miner

    def stage(self, learner: int, embeddings: Tensor, labels: Tensor) -> Tensor:
        mined = () if self.miner is None else (self.miner(embeddings, labels),)
        return _value(self.loss, embeddings, labels, *mined)


def _value(module: nn.Module, embeddings: Tensor, labels: Tensor, *mined: object) -> Tensor:
    """What another package's loss makes of a batch.

    Raises:
        LossError: it fails, or returns something else than a scalar with a gradient.
    """
    try:
        value = module(embeddings, labels, *mined)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError, ValueError) as error:
        numbers = f"{int(labels.min())} to {int(labels.max())}"
        raise LossError(
            f"fails for embeddings {tuple(embeddings.shape)} with labels from {numbers}: {error}",
            where=type(module).__name__,
            remedy="where it has proxies, number the classes 0, 1, 2, ... and give it their count",
        ) from error
    return check_scalar(value, module)


def extend(ensemble: Tensor | None, z: Tensor, rate: float) -> Tensor:
    """``[sqrt(1 - rate) E, sqrt(rate) z]`` with E held constant; z alone where there is no E yet."""
    if ensemble is None:
        return z
    return torch.cat([(1 - rate) ** 0.5 * ensemble.detach(), rate**0.5 * z], dim=1)


def refuse_unwrapped(loss: object) -> None:
    """Refuse a loss of pytorch-metric-learning where a function of similarities is expected.

    Raises:
        ConfigError: it is one. It would take similarities for embeddings, and never say so.
    """
    if type(loss).__module__.startswith("pytorch_metric_learning"):
        raise ConfigError(
            f"{type(loss).__name__} takes embeddings, not similarities",
            where="loss",
            remedy="wrap it: bier.losses.PytorchMetricLearning(loss), or EmbeddingLoss where it has proxies",
        )
