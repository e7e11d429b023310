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


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo :func:`optimizer_tensors`; parameter groups keep the settings they were built with.

    Raises:
        ValueError: a tensor belongs to no parameter, or to one of another shape.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        position, name = key.split(".", 1)
        if not 0 <= int(position) < len(parameters):
            raise ValueError(f"optimizer/{key} belongs to no parameter")
        if tensor.ndim and tensor.shape != parameters[int(position)].shape:
            raise ValueError(f"optimizer/{key} has the shape {tuple(tensor.shape)}, its parameter another")
        state.setdefault(int(position), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
