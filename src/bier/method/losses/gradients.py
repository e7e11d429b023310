"""Values whose gradients are made on the way forward, by losses that know their derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bier.errors import LossError


def attach_gradients(value: Tensor, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """``value`` as a function of ``inputs`` whose gradients are already known.

    Nothing but these gradients is kept until the backward pass.
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
    """For backward passes that know first derivatives alone: they run without gradients unless one asks for more.

    Raises:
        LossError: somebody asks for more.
    """
    if torch.is_grad_enabled():
        raise LossError("this loss has no second derivative", remedy="leave create_graph=True out")
