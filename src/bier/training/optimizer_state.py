"""An optimiser's state as tensors by name, for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by position of its parameters: ``0.exp_avg``, ``0.step``, ..."""
    return {
        f"{position}.{name}": torch.as_tensor(value)
        for position, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def is_fused(optimizer: torch.optim.Optimizer) -> bool:
    """Whether each weight moves in one pass over memory. The last bits differ from those of several passes."""
    return all(group.get("fused") for group in optimizer.param_groups)


def unfuse(optimizer: torch.optim.Optimizer) -> None:
    """Move weights on a CPU in several passes, as in runs that older versions began. On a GPU those were fused."""
    for group in optimizer.param_groups:
        if group["params"][0].device.type == "cpu":
            group["fused"] = None


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo :func:`optimizer_tensors`; parameter groups keep the settings they were built with.

    The state gets the memory layout of its parameters. A fused step takes that for granted, and does not check it.

    Raises:
        ValueError: a tensor belongs to no parameter, or to one of another shape.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        position, name = key.split(".", 1)
        if not 0 <= int(position) < len(parameters):
            raise ValueError(f"optimizer/{key} belongs to no parameter")
        parameter = parameters[int(position)]
        if tensor.ndim and tensor.shape != parameter.shape:
            raise ValueError(f"optimizer/{key} has the shape {tuple(tensor.shape)}, its parameter another")
        laid_out = torch.empty_like(parameter, requires_grad=False).copy_(tensor) if tensor.ndim else tensor
        state.setdefault(int(position), {})[name] = laid_out
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
