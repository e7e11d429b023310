"""From the last feature map to one vector: the generalised mean instead of the average.

An average lets a small, telling part (a beak, a badge) drown in what surrounds it. The generalised mean (GeM; Radenović
et al., TPAMI 2019) lies between the average (p = 1) and the maximum (p = infinity), and adds no weights with p fixed.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bier.network.noise import noise, trying

EXPONENT = 3.0
"""Where the authors start it; 2 to 4 were equally good here, on held-out training classes (docs/experiments.md)."""
SMALLEST = 1e-6


def generalized_mean(
    values: Tensor, dims: Sequence[int], *, exponent: float = EXPONENT, keepdim: bool = False
) -> Tensor:
    """``mean(x^p)^(1/p)`` over some dimensions, with ``x`` at least 1e-6, in float32."""
    powers = values.float().clamp_min(SMALLEST).pow(exponent)
    return powers.mean(dim=tuple(dims), keepdim=keepdim).pow(1 / exponent)


def signed_generalized_mean(values: Tensor, dims: Sequence[int], exponent: float = EXPONENT) -> Tensor:
    """The generalised mean of what is above 0, less that of what is below: for values of either sign, such as tokens.

    It turns with its values, ``f(-x) = -f(x)``, and is the average at p = 1. Clamping alone would drop half of a
    normalised token. A signed root of the mean power is no way out: its slope has no bound where powers cancel, so
    rounding and gradients would blow up there.
    """
    return generalized_mean(values, dims, exponent=exponent) - generalized_mean(-values, dims, exponent=exponent)


class GeneralizedMean(nn.Module):
    """`generalized_mean` of each map: (b, c, h, w) to (b, c, 1, 1), or over other dimensions."""

    def __init__(self, exponent: float = EXPONENT, dims: Sequence[int] = (2, 3), keepdim: bool = True) -> None:
        super().__init__()
        self.exponent, self.dims, self.keepdim = exponent, tuple(dims), keepdim

    def forward(self, maps: Tensor) -> Tensor:
        return generalized_mean(maps, self.dims, exponent=self.exponent, keepdim=self.keepdim)

    @classmethod
    def instead_of(cls, average: nn.Module) -> GeneralizedMean:
        """In the place of a module that `averaging` has found: the same dimensions in, the same out."""
        if isinstance(average, nn.AdaptiveAvgPool2d):
            return cls()
        return cls(dims=average.dim, keepdim=not average.flatten)  # type: ignore[arg-type]


def averaging(network: nn.Module) -> str | None:
    """The path of the one module that averages the network's last map; None where there is none, or several."""
    from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool

    modules = dict(network.named_modules())
    torchs = [path for path, m in modules.items() if type(m) is nn.AdaptiveAvgPool2d and m.output_size in (1, (1, 1))]
    found = torchs or [path for path, m in modules.items() if type(m) is FastAdaptiveAvgPool]  # of maps (b, h, w, c)
    return found[0] if len(found) == 1 else None


def is_never_negative(network: nn.Module, path: str, size: int) -> bool:
    """Whether what the module at ``path`` gets is never below 0, tried on noise: else a power of it means nothing."""
    smallest: list[float] = []
    hook = network.get_submodule(path).register_forward_pre_hook(
        lambda module, inputs: smallest.append(inputs[0].min().item())
    )
    with trying(network):
        network(noise(size))
    hook.remove()
    return smallest[0] >= 0
