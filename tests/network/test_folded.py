"""The twin for inference gives the backbone's own features, on real photographs."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bier.data import TestTransform, read_image
from bier.network.backbone import Backbone
from bier.network.create import create_backbone
from bier.network.folded import InferenceBackbone
from bier.system.hardware import has_bfloat16

CPU = torch.device("cpu")
NAMES = ("efficientnet_lite0", "googlenet", "resnet18", "resnet50", "mobilenetv3_large_100", "convnext_atto")


@pytest.fixture(scope="module")
def pictures(photographs: Path) -> Tensor:
    files = sorted((photographs / "cub100" / "images").rglob("*.jpg"))[:: 5902 // 6][:6]
    return torch.stack([TestTransform(96)(read_image(file)) for file in files])


def backbone(name: str) -> Backbone:
    """With statistics of batch norm that training might have left."""
    torch.manual_seed(0)
    made = create_backbone(name, "default" if name == "efficientnet_lite0" else "none").eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d) and name != "efficientnet_lite0":
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return made


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest distance between the directions, which are what becomes a vector."""
    unit = nn.functional.normalize
    return float((unit(found) - unit(expected)).norm(dim=1).max())


@pytest.mark.parametrize(
    "name", [*NAMES[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:4]), *NAMES[4:]]
)
def test_features_are_the_backbones(name: str, pictures: Tensor) -> None:
    plain = backbone(name)
    with torch.inference_mode():
        expected = plain(pictures)
        twin = InferenceBackbone(plain)
        for count in (6, 1):  # the kernels choose by shape
            assert difference(twin(pictures[:count]), expected[:count]) < 1e-5
        small = nn.functional.interpolate(pictures, 64)
        assert difference(twin(small), plain(small)) < 1e-5
        assert difference(InferenceBackbone(plain, channels_last=False)(pictures), expected) < 1e-5
        half = InferenceBackbone(plain, torch.bfloat16)(pictures)
    assert half.dtype == torch.float32
    assert 0 < difference(half, expected) < 0.05
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules()), "batch norm is still there"


def test_the_backbone_is_left_as_it_was(pictures: Tensor) -> None:
    plain = Awkward().train()  # most of its batch norm stays, and must not take statistics
    before = copy.deepcopy(plain.state_dict())
    first = InferenceBackbone(plain)(pictures)
    assert plain.training
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())
    assert all(p.requires_grad for p in plain.parameters())
    assert difference(first, plain.eval()(pictures).detach()) < 1e-5, "not in evaluation mode"


class Awkward(nn.Module):
    """What must not be folded: filters used twice or standardised, results used elsewhere, shared activations."""

    def __init__(self) -> None:
        super().__init__()
        from timm.layers import StdConv2d

        self.shared, self.both, self.standardised = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 8, 3), StdConv2d(8, 8, 3)
        self.last = nn.Conv2d(8, 8, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (3, 8, 8, 8))
        self.act = nn.ReLU()
        for norm in self.norms:
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.shared(self.norms[0](self.shared(images / 255)))
        y = self.both(x)
        y = self.act(self.norms[1](y)) + y
        z = self.norms[2](self.standardised(y)) - 1
        return (self.act(self.norms[3](self.last(z))) + self.act(z)).mean((2, 3))


def test_what_only_looks_foldable_is_left_alone(pictures: Tensor) -> None:
    torch.manual_seed(0)
    network = Awkward().eval()
    with torch.inference_mode():
        twin = InferenceBackbone(network)
        assert difference(twin(pictures), network(pictures)) < 1e-5
    assert sum(isinstance(module, nn.BatchNorm2d) for module in twin.modules()) == 3


def test_a_network_that_looks_at_numbers_still_works(pictures: Tensor) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images: Tensor) -> Tensor:
            x = self.norm(self.convolution(images / 255))
            return (x if x.mean() > 0 else -x).mean((2, 3))

    network = Branching().eval()
    with torch.inference_mode():
        assert difference(InferenceBackbone(network)(pictures), network(pictures)) < 1e-5


def test_the_twin_is_the_faster_one_where_it_can_be() -> None:
    assert isinstance(has_bfloat16(CPU), bool)
    if not torch.backends.mkldnn.is_available():
        pytest.skip("no oneDNN kernels in this torch")
    twin = InferenceBackbone(backbone("resnet18"))
    assert not any(type(module) is nn.Conv2d for module in twin.modules())
