"""What every family of backbones must do. A new one needs a name here that it knows."""

from __future__ import annotations

import pytest
import torch

from bier.network.create import FAMILIES, create_backbone

NAMES = {key: FAMILIES[key].members[0].name for key in FAMILIES if FAMILIES[key].members} | {"timm": "resnet10t"}
LARGE = ("dinov2", "dinov3", "siglip2", "swin")


@pytest.mark.parametrize(
    "family", [pytest.param(key, marks=[pytest.mark.slow] if key in LARGE else []) for key in FAMILIES]
)
def test_a_family_keeps_its_contract(family: str) -> None:
    name = NAMES[family]
    assert FAMILIES[family].knows(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = create_backbone(name, "none").eval()
    assert backbone.name == name
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        features = backbone(images)
    assert features.shape == (2, backbone.features)
    assert features.dtype == torch.float32
    grouped = [id(parameter) for _, parameters in backbone.groups() for parameter in parameters]
    assert sorted(grouped) == sorted(map(id, backbone.parameters())), "each parameter once"
    assert len(backbone.groups()) > 1
    twin = create_backbone(**backbone.spec(), weights="none").eval()
    twin.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        assert torch.equal(twin(images), features)


def test_a_name_belongs_to_one_family() -> None:
    for family, name in NAMES.items():
        others = [key for key in FAMILIES if key not in (family, "timm") and FAMILIES[key].knows(name)]
        assert others == []
