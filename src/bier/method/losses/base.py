"""What a base loss is: a function of scores and labels, and how it may be boosted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bier.errors import LossError

Schedule = Literal["additive", "convex", "stagewise", "independent"]


class Loss(nn.Module):
    """A scalar function of a score matrix and labels. By default the scores are those of all pairs of a batch.

    A loss that is a sum of terms (``PairLoss``, ``Triplet``, ``NormalizedSoftmax``) can be boosted by reweighting its
    terms; any other is boosted stagewise (method, "Any differentiable loss").
    """

    default_schedule: ClassVar[Schedule] = "stagewise"

    def scores(self, z: Tensor, learner: int) -> Tensor:
        """Scores of one learner, by default ``S = z z^T`` of shape (n, n), from normalised outputs z (n, d)."""
        return z @ z.T

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError


class FunctionLoss(Loss):
    """Any ``function(similarity (n, n), labels (n,)) -> scalar`` as a base loss."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return check_scalar(self.function(scores, labels), self.function)


def check_scalar(value: object, source: object) -> Tensor:
    """``value`` where it is a scalar tensor with a gradient function, a :class:`LossError` otherwise."""
    name = getattr(source, "__name__", type(source).__name__)
    if not isinstance(value, Tensor):
        raise LossError(f"returned {type(value).__name__}, not a tensor", where=name, remedy="return a scalar tensor")
    if value.ndim != 0:
        raise LossError(
            f"returned shape {tuple(value.shape)}, not a scalar",
            where=name,
            remedy="reduce it with .mean() or .sum(), or give unreduced terms of pairs as a bier.losses.PairLoss",
        )
    if torch.is_grad_enabled() and not value.requires_grad:
        raise LossError(
            "returned a value without a gradient",
            where=name,
            remedy="compute it from the similarities with torch operations, without .detach(), .item() or NumPy",
        )
    return value


def check_labels(labels: Tensor, rows: int) -> None:
    if not isinstance(labels, Tensor) or labels.is_floating_point():
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise LossError(f"labels of type {kind}", remedy="give a tensor of whole numbers: torch.as_tensor(labels)")
    if labels.ndim != 1 or len(labels) != rows:
        raise LossError(
            f"labels of shape {tuple(labels.shape)} for {rows} embeddings", remedy="give one whole number per image"
        )


def check_two_classes(labels: Tensor) -> None:
    if len(labels) == 0 or bool((labels == labels[0]).all()):
        raise single_class()


def single_class() -> LossError:
    return LossError(
        "the batch holds a single class, so it has no negative pair",
        where="labels",
        remedy="draw batches of at least two classes (data.classes_per_batch)",
    )


def attach_gradients(value: Tensor, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """``value`` as a function of ``inputs`` whose gradients are already known.

    Losses that know their derivative compute it beside the value, and keep nothing else until the backward pass.
    """
    return _Attached.apply(value, len(inputs), *inputs, *gradients)  # type: ignore[no-any-return]


class _Attached(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *tensors: Tensor) -> Tensor:
        ctx.count = count
        ctx.save_for_backward(*tensors[count:])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        scaled = [grad * g for g in ctx.saved_tensors]
        return (None, None, *scaled, *[None] * ctx.count)


def refuse_second_derivative() -> None:
    """For backward passes that know first derivatives alone: they run without gradients unless one asks for more."""
    if torch.is_grad_enabled():
        raise LossError("this loss has no second derivative", remedy="leave create_graph=True out")
