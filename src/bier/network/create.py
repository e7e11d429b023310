"""Backbones by name, with their weights and the preprocessing that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence

from bier.network.backbone import Backbone, Pooling
from bier.network.choice import trial_size, use_pooling
from bier.network.names import FAMILIES, family_of, refuse_word
from bier.network.pooling import averaging, is_never_negative

__all__ = ["FAMILIES", "create_backbone"]


def create_backbone(
    name: str,
    weights: str = "default",
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    pooling: Pooling = "average",
) -> Backbone:
    """A backbone by name.

    Args:
        name: ``efficientnet_lite0`` (its weights are installed with bier), ``efficientnet_lite1`` or ``2``,
            ``googlenet`` (torchvision's), or any name that timm knows. With ``hf-hub:OWNER/NAME`` or
            ``local-dir:FOLDER`` of timm, the backbone has the name of its architecture: a model of it needs neither.
        weights: ``default`` for those that the name comes with, ``none`` for random ones, or a local ``.safetensors``
            or ``.pth`` file.
        mean: of each colour channel in 0..1; by default what belongs to the weights.
        std: likewise.
        pooling: how its last map or its tokens become one vector: ``average``, whatever the network does itself;
            ``gem``, the generalised mean in the place of its average; ``class``, ``patches`` and ``patches-gem`` of a
            transformer's tokens, or two of them side by side, such as ``class+patches``; ``auto``, ``gem`` where the
            network averages one map that is never negative, and its own elsewhere.

    Raises:
        ModelError: unknown name, weights that are missing, damaged or another network's, no network to fetch them, or
            a pooling that does not go with the network.
    """
    refuse_word(name)
    backbone = family_of(name).build(name, weights)
    backbone.set_preprocessing(mean or backbone.mean, std or backbone.std)
    if pooling == "auto":
        pooling = "gem" if _averages_what_is_never_negative(backbone) else "average"
    use_pooling(backbone, pooling)
    return backbone


def _averages_what_is_never_negative(backbone: Backbone) -> bool:
    path = averaging(backbone.network)
    return path is not None and is_never_negative(backbone.network, path, trial_size(backbone))
