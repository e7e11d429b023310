from __future__ import annotations

import pytest
import torch
from gpu import NEEDS_GPU
from torch import Tensor, nn

from bier.errors import ModelError
from bier.network.backbone import Backbone
from bier.network.create import create_backbone
from bier.network.recorded import GraphedBackbone
from bier.runs import build
from bier.settings.schema import Config
from bier.system.hardware import Hardware

BATCH, SIZE = 6, 64
NETWORKS = ("efficientnet_lite0", "googlenet", "resnet10t", "convnext_atto", "vit_tiny_patch16_224")


def on_gpu(name: str) -> tuple[Backbone, Tensor]:
    backbone = create_backbone(name, weights="none").cuda().train()
    size = backbone.image_size or SIZE
    generator = torch.Generator().manual_seed(0)
    return backbone, torch.randint(0, 256, (BATCH, 3, size, size), dtype=torch.uint8, generator=generator).cuda()


def gradients(backbone: Backbone, features: Tensor) -> Tensor:
    backbone.zero_grad(set_to_none=True)
    features.square().mean().backward()
    return torch.cat([p.grad.flatten() for p in backbone.parameters() if p.grad is not None])


@NEEDS_GPU
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_features_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    backbone, images = on_gpu(name)
    graphed = GraphedBackbone(backbone, BATCH, torch.float32)
    other = images.flip(0)
    for turn in (images, other, images):  # the first is recorded, the others are played back
        statistics = {key: buffer.clone() for key, buffer in backbone.named_buffers()}
        features = graphed(turn)
        found, moved = gradients(backbone, features), [b.clone() for b in backbone.buffers()]
        for key, buffer in backbone.named_buffers():
            buffer.copy_(statistics[key])
        expected = backbone(turn)
        assert torch.allclose(features, expected, rtol=1e-3, atol=1e-4)
        wanted = gradients(backbone, expected)
        assert (found - wanted).norm() < 1e-2 * wanted.norm()
        assert all(
            torch.allclose(a.float(), b.float(), rtol=1e-3) for a, b in zip(moved, backbone.buffers(), strict=True)
        )
        with torch.no_grad():  # an update, in place
            for parameter in backbone.parameters():
                parameter.mul_(1.01)


@NEEDS_GPU
def test_a_batch_that_is_not_whole() -> None:
    backbone, images = on_gpu("resnet10t")
    graphed = GraphedBackbone(backbone.eval(), BATCH, torch.float32)
    graphed(images)
    assert torch.equal(graphed(images[:4]), backbone(images[:4]))


@NEEDS_GPU
def test_a_network_that_cannot_be_recorded() -> None:
    class Looking(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            return self.network(images) * images.mean().item()

    backbone, images = on_gpu("resnet10t")
    backbone.network = Looking(backbone.network)
    with pytest.raises(ModelError, match="set cuda_graphs=false"):
        GraphedBackbone(backbone, BATCH, torch.float32, remedy="set cuda_graphs=false")(images)


def test_only_on_a_gpu_and_where_batches_are_whole() -> None:
    trained, frozen = (build.model(Config().replace(model__weights="none", optimizer__freeze=n)) for n in (0, 9))
    gpu, batch = torch.device("cuda"), 64
    for settings, device, recorded in (
        (Config(), torch.device("cpu"), False),
        (Config(), gpu, True),
        (Config().replace(hardware__cuda_graphs=False), gpu, False),
        (Config().replace(hardware__images_at_once=32), gpu, False),
        (Config().replace(hardware__images_at_once=64), gpu, True),
    ):
        hardware = Hardware(device)
        found = build.training_backbone(settings, trained, hardware, batch)
        assert isinstance(found, GraphedBackbone) is recorded
        assert build.training_backbone(settings, frozen, hardware, batch) is frozen.backbone
