"""Which poolings a backbone can have; giving it one of them, or all at once to compare them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bier.errors import ModelError
from bier.network.backbone import Backbone, Pooling
from bier.network.pooling import GeneralizedMean, averaging
from bier.network.tokens import OWN, TokenPooling, Tokens, tokens_of

TRIAL_SIZE = 224
"""Pixels of a picture that any network can take: patches of 14, 16 and 32 divide it."""


def trial_size(backbone: Backbone) -> int:
    """Pixels of a picture to try the backbone on."""
    return backbone.image_size or TRIAL_SIZE


def use_pooling(backbone: Backbone, pooling: Pooling) -> None:
    """Pool a backbone that `create_backbone` has just built by anything but ``auto``.

    Raises:
        ModelError: the network has nothing that can be pooled so; the remedy lists what it has.
    """
    if pooling == OWN:
        return
    if pooling == "gem" and (path := averaging(backbone.network)) is not None:
        backbone.network.set_submodule(path, GeneralizedMean.instead_of(backbone.network.get_submodule(path)))
    elif pooling != "gem" and (tokens := _tokens(backbone)) is not None and pooling in tokens.poolings:
        backbone.readout = tokens.pooling(pooling)
        backbone.features *= len(pooling.split("+"))
    else:
        raise ModelError(
            f"{backbone.name} cannot be pooled by {pooling!r}",
            where="pooling",
            remedy=f"use 'auto', or one that it can: {', '.join(possible_poolings(backbone))}",
        )
    backbone.pooling = pooling


def possible_poolings(backbone: Backbone) -> tuple[str, ...]:
    """The names of those that a backbone with its network's own pooling can have, that one first."""
    if averaging(backbone.network) is not None:
        return OWN, "gem"
    tokens = _tokens(backbone)
    return (OWN,) if tokens is None else (OWN, *tokens.poolings)


@dataclass(frozen=True)
class SideBySide:
    """A backbone whose features are those of several poolings, from one pass."""

    backbone: Backbone
    columns: dict[str, list[slice]]
    """Where the features of each pooling lie."""

    def of(self, features: Tensor, pooling: str) -> Tensor:
        """One pooling's features (n, d) of all the backbone's (n, sum of all)."""
        return torch.cat([features[:, columns] for columns in self.columns[pooling]], dim=1)


def side_by_side(backbone: Backbone) -> SideBySide:
    """A twin of a backbone with its network's own pooling, which pools in all ways that are possible."""
    twin, width = copy.deepcopy(backbone), backbone.features
    path, names = averaging(twin.network), possible_poolings(backbone)
    if path is not None:
        average = twin.network.get_submodule(path)
        twin.network.set_submodule(path, _Both(average, GeneralizedMean.instead_of(average)))
        twin.readout = _halves
        parts: tuple[str, ...] = (OWN, "gem")
    elif (tokens := _tokens(twin)) is not None:
        parts = (OWN, *tokens.parts)
        twin.readout = TokenPooling(parts, tokens.prefix)
    else:
        parts = (OWN,)
    twin.features = width * len(parts)
    at = {part: slice(i * width, (i + 1) * width) for i, part in enumerate(parts)}
    return SideBySide(twin, {name: [at[part] for part in name.split("+")] for name in names})


class _Both(nn.Module):
    """Two poolings of b maps, one below the other as 2 b: what follows them goes picture by picture."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.one(maps), self.other(maps)])


def _halves(network: nn.Module, images: Tensor) -> Tensor:
    """(2 b, d) as (b, 2 d)."""
    return torch.cat(network(images).chunk(2), dim=1)


def _tokens(backbone: Backbone) -> Tokens | None:
    return tokens_of(backbone.network, trial_size(backbone))
