"""A function of similarities and labels as a base loss."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bier.method.losses.base import Loss
from bier.method.losses.checks import check_scalar
from bier.method.losses.external import refuse_unwrapped


class FunctionLoss(Loss):
    """Any ``function(similarity (n, n), labels (n,)) -> scalar`` as a base loss."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return check_scalar(self.function(scores, labels), self.function)


def as_loss(loss: Loss | Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A loss as it is; a function wrapped.

    Raises:
        ConfigError: a loss of pytorch-metric-learning, which has a wrapper of its own.
    """
    if isinstance(loss, Loss):
        return loss
    refuse_unwrapped(loss)
    return FunctionLoss(loss)
