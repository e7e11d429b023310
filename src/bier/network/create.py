"""Backbones by name, with their weights and the preprocessing that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence

from bier.errors import ModelError
from bier.network.backbone import Backbone, Pooling
from bier.network.names import FAMILIES, family_of, refuse_word
from bier.network.pooling import GeneralizedMean, averaging, is_never_negative

__all__ = ["FAMILIES", "create_backbone"]

TRIAL_SIZE = 128
"""Pixels of a picture that any network can take."""


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
        pooling: of its last map: ``average``, whatever the network does itself; ``gem``, the generalised mean in the
            place of its average; ``auto``, the latter where the network averages one map that is never negative.

    Raises:
        ModelError: unknown name, weights that are missing, damaged or another network's, no network to fetch them, or
            a pooling that does not go with the network.
    """
    refuse_word(name)
    backbone = family_of(name).build(name, weights)
    backbone.set_preprocessing(mean or backbone.mean, std or backbone.std)
    if pooling != "average":
        _pool_by_generalized_mean(backbone, only_if_sensible=pooling == "auto")
    return backbone


def _pool_by_generalized_mean(backbone: Backbone, only_if_sensible: bool) -> None:
    path = averaging(backbone.network)
    if path is None and not only_if_sensible:
        raise ModelError(
            f"{backbone.name} does not end in the average of one map",
            where="pooling",
            remedy="use 'auto', or 'average', which leaves it as it is",
        )
    size = backbone.image_size or TRIAL_SIZE
    if path is None or (only_if_sensible and not is_never_negative(backbone.network, path, size)):
        return
    backbone.network.set_submodule(path, GeneralizedMean())
    backbone.pooling = "gem"
