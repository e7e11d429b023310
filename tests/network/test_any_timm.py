"""Any network that timm knows will do: the smallest of each of its modules takes pictures and trains."""

from __future__ import annotations

from functools import cache

import pytest
import timm
import torch
from timm.models import list_modules

from bier.network.choice import possible_poolings
from bier.network.create import create_backbone
from bier.network.names import family_of


@cache
def smallest(module: str) -> str:
    def parameters(name: str) -> int:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return sum(parameter.numel() for parameter in timm.create_model(name).parameters())

    return min(timm.list_models(module=module), key=parameters)


@pytest.mark.slow
@pytest.mark.parametrize("module", list_modules())
def test_the_smallest_of_each_module(module: str) -> None:
    name = smallest(module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = create_backbone(name, "none")
    size = backbone.image_size or family_of(name).sizes(name).chosen(on_cpu=True)
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = backbone(images)
    assert features.shape == (2, backbone.features)
    features.square().sum().backward()
    assert any(parameter.grad is not None for _, parameters in backbone.groups() for parameter in parameters)
    assert possible_poolings(backbone)[0] == "average"
