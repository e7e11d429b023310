"""GoogLeNet, the authors' backbone, from torchvision."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bier.network.backbone import Backbone
from bier.network.family import Family, Member, Weights
from bier.network.weights import load_strictly, not_fetched, read_weights, require, without

_HALF = (0.5, 0.5, 0.5)


def googlenet(name: str, weights: str) -> Backbone:
    """torchvision's, without its classifiers.

    Its weights were trained on inputs in -1..1; torchvision undoes the usual ImageNet normalisation inside the
    network (``transform_input``), here the picture is normalised so in the first place.
    """
    from torchvision.models import GoogLeNet

    network = GoogLeNet(aux_logits=False, init_weights=weights == "none")
    network.fc = nn.Identity()
    network.dropout = nn.Identity()
    if weights != "none":
        path = _googlenet_file() if weights == "default" else Path(weights)
        load_strictly(network, without(read_weights(path), "fc.", "aux1.", "aux2."), name, path)
    groups = [(label, list(child.parameters())) for label, child in network.named_children()]
    groups = [(label, parameters) for label, parameters in groups if parameters]
    return Backbone(network, name=name, features=1024, mean=_HALF, std=_HALF, groups=groups)


def _googlenet_file() -> Path:
    url, path = _place()
    if not path.is_file():
        require(url, "googlenet")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
        except (OSError, RuntimeError) as error:
            raise not_fetched("googlenet", url, error) from error
    return path


def _place() -> tuple[str, Path]:
    """Where the weights come from, and where they lie once they have come."""
    from torchvision.models import GoogLeNet_Weights

    url = str(GoogLeNet_Weights.DEFAULT.url)
    return url, Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def _weights(name: str) -> Weights:
    return Weights("bsd-3-clause", "torchvision", _place()[1].is_file())


MEMBERS = {
    "googlenet": Family(
        knows=lambda name: name == "googlenet",
        build=googlenet,
        members=(Member("googlenet", 5_599_904, 1024),),
        weights=_weights,
    )
}
