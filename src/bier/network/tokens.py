"""From the tokens of a transformer to one vector: its class token, its patches, or both side by side.

What a network offers is read off the network and checked on noise, never by its name. Registers (Darcet et al., ICLR
2024) are tokens of no place in the picture: they are no patches, and count for nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bier.network.noise import noise, trying
from bier.network.pooling import signed_generalized_mean

PARTS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "class": lambda tokens, prefix: tokens[:, 0],
    "patches": lambda tokens, prefix: tokens[:, prefix:].mean(dim=1),
    "patches-gem": lambda tokens, prefix: signed_generalized_mean(tokens[:, prefix:], (1,)),
}
"""Tokens (b, n, c), of which so many come before the patches, to (b, c)."""
SIDE_BY_SIDE = ("class+patches", "class+patches-gem")
"""Twice as wide."""
OWN = "average"
"""Whatever the network does itself."""


@dataclass(frozen=True)
class TokenPooling:
    """Reads features off a network's tokens: (b, 3, h, w) to (b, c), or as many times c as there are parts.

    A norm that the network applies to its own pooled vector (``fc_norm``) is applied to each part.
    """

    parts: tuple[str, ...]
    """Of `PARTS`, or `OWN`."""
    prefix: int
    """Tokens before the patches: class token and registers."""

    def __call__(self, network: Any, images: Tensor) -> Tensor:
        return self.of(network, network.forward_features(images))

    def of(self, network: Any, tokens: Tensor) -> Tensor:
        """The features of tokens (b, prefix + n, c)."""
        return torch.cat([self._part(network, tokens, part) for part in self.parts], dim=1)

    def _part(self, network: Any, tokens: Tensor, part: str) -> Tensor:
        if part == OWN:
            own: Tensor = network.forward_head(tokens)
            return own
        pooled = PARTS[part](tokens, self.prefix)
        norm: Callable[[Tensor], Tensor] = getattr(network, "fc_norm", nn.Identity())
        return norm(pooled)


@dataclass(frozen=True)
class Tokens:
    """How the tokens of a network lie."""

    prefix: int
    """Those that come before the patches."""
    has_class: bool
    """Whether the first one is a class token."""

    @property
    def poolings(self) -> tuple[str, ...]:
        """What can be made of them."""
        return (*PARTS, *SIDE_BY_SIDE) if self.has_class else ("patches", "patches-gem")

    @property
    def parts(self) -> tuple[str, ...]:
        """Those that stand alone."""
        return tuple(name for name in self.poolings if name in PARTS)

    def pooling(self, name: str) -> TokenPooling:
        return TokenPooling(tuple(name.split("+")), self.prefix)


def tokens_of(network: Any, size: int) -> Tokens | None:
    """How a network's tokens lie; None where it has none, or does with them what is not understood here.

    It is understood where the network's own vector is its class token, the mean of its patches, or made by an
    attention pooling of its own (``attn_pool``).
    """
    first = getattr(network, "cls_token", None) is not None
    prefix = getattr(network, "num_prefix_tokens", None)
    if not hasattr(network, "forward_features") or not hasattr(network, "forward_head") or (first and not prefix):
        return None
    found = Tokens(prefix or 0, first)
    with trying(network):
        tokens = network.forward_features(noise(size))
        if not isinstance(tokens, Tensor) or tokens.ndim != 3:
            return None
        own = network.forward_head(tokens)
        if own.shape != (1, tokens.shape[2]):
            return None
        known = [found.pooling(part).of(network, tokens) for part in found.parts]
    alike = any(torch.allclose(own, features, rtol=1e-4, atol=1e-5) for features in known)
    return found if alike or getattr(network, "attn_pool", None) is not None else None
