"""From the last feature map to one vector: the generalised mean instead of the average.

An average lets a small, telling part (a beak, a badge) drown in what surrounds it. The generalised mean (GeM; Radenović
et al., TPAMI 2019) lies between the average (p = 1) and the maximum (p = infinity), and adds no weights with p fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EXPONENT = 3.0
"""Where the authors start it; 2 to 4 were equally good here, on held-out training classes (docs/experiments.md)."""
SMALLEST = 1e-6


class GeneralizedMean(nn.Module):
    """(b, c, h, w) to (b, c, 1, 1): ``mean(x^p)^(1/p)`` over each map, with ``x`` at least 1e-6, in float32."""

    def __init__(self, exponent: float = EXPONENT) -> None:
        super().__init__()
        self.exponent = exponent

    def forward(self, maps: Tensor) -> Tensor:
        powers = maps.float().clamp_min(SMALLEST).pow(self.exponent)
        return powers.mean(dim=(2, 3), keepdim=True).pow(1 / self.exponent)


def averaging(network: nn.Module) -> str | None:
    """The path of the one module that averages the network's last map; None where there is none, or several."""
    found = [
        path
        for path, module in network.named_modules()
        if type(module) is nn.AdaptiveAvgPool2d and module.output_size in (1, (1, 1))
    ]
    return found[0] if len(found) == 1 else None


@torch.no_grad()
def is_never_negative(network: nn.Module, path: str, size: int) -> bool:
    """Whether what the module at ``path`` gets is never below 0, tried on noise: else a power of it means nothing."""
    smallest: list[float] = []
    hook = network.get_submodule(path).register_forward_pre_hook(
        lambda module, inputs: smallest.append(inputs[0].min().item())
    )
    training = network.training
    network.eval()(torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)))
    network.train(training)
    hook.remove()
    return smallest[0] >= 0
