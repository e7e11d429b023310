"""The optimiser of the settings, and its rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from bier.network.model import RetrievalModel
from bier.runs.habits import filled
from bier.settings.schema import OptimizerConfig


def parameter_groups(
    config: OptimizerConfig, model: RetrievalModel, proxies: Sequence[nn.Parameter], extra: Sequence[nn.Parameter]
) -> list[dict[str, Any]]:
    """Proxies, head and ``extra``, then the backbone's layer groups from output to input, each with its rate.

    Weight decay applies to matrices and filters only (the authors' recipe: "on weights"). `with_habits` has filled in
    the settings.
    """
    rate, head_factor, layer_decay = map(filled, (config.learning_rate, config.head_factor, config.layer_decay))
    layers = [
        (rate * config.proxy_factor, [*proxies]),
        (rate * head_factor, [*model.head.parameters(), *extra]),
    ]
    for _, parameters in reversed(model.backbone.groups()):
        layers.append((rate, parameters))
        rate *= layer_decay
    groups = []
    for peak, parameters in layers:
        trainable = [p for p in parameters if p.requires_grad]
        for decay, chosen in (
            (config.weight_decay, [p for p in trainable if p.ndim > 1]),
            (0.0, [p for p in trainable if p.ndim <= 1]),
        ):
            if chosen:
                groups.append({"params": chosen, "lr": peak, "peak_lr": peak, "weight_decay": decay})
    return groups


def optimizer(
    config: OptimizerConfig, model: RetrievalModel, proxies: Sequence[nn.Parameter], extra: Sequence[nn.Parameter]
) -> torch.optim.Optimizer:
    """AdamW over proxies of the loss, the head, whatever trains beside it (``extra``), and the layer groups."""
    # Fused, all of a weight's update is one pass over memory. `restore_optimizer` knows what that asks for.
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(parameter_groups(config, model, proxies, extra), fused=fused or None)


def rate_schedule(config: OptimizerConfig, steps: int) -> Callable[[int], float]:
    """The factor on every rate at a step: a linear rise over ``warmup`` of the steps, then half a cosine to 0."""
    rise = filled(config.warmup) * steps

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))

    return factor
