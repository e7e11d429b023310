"""Stochastic depth (Huang et al., 2016): in training, pictures skip blocks of a network at random.

Nothing is added at test time, and no weights: a model file says nothing of it.
"""

from __future__ import annotations

from torch import nn

from bier.errors import ModelError

_PLACES = ("drop_path", "drop_path1", "drop_path2")
"""What timm's residual blocks call the ends of their branches."""


def drop_paths(network: nn.Module, rate: float, name: str) -> None:
    """Drop each picture's branches with a probability that rises from 0 in the first block to ``rate`` in the last.

    Args:
        network: of timm.
        rate: in 0..1.
        name: of the network, for the error.

    Raises:
        ModelError: it has no such blocks.
    """
    from timm.layers.drop import DropPath

    blocks = [block for block in network.modules() if _ends(block)]
    if not blocks:
        raise ModelError(
            f"{name} has no blocks that pictures could skip", where="drop_path", remedy="set it to 0, or leave it out"
        )
    for number, block in enumerate(blocks):
        for place in _ends(block):
            setattr(block, place, DropPath(rate * number / max(1, len(blocks) - 1)))


def _ends(block: nn.Module) -> list[str]:
    return [place for place in _PLACES if isinstance(getattr(block, place, None), nn.Identity)]
