"""LoRA: adapters alone are trained, and a saved model has them in its weights."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bier.errors import ModelError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.backbone import Backbone
from bier.network.create import create_backbone
from bier.network.folded import InferenceBackbone
from bier.network.lora import add_lora
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model, save_model


def adapted(name: str) -> tuple[Backbone, set[str]]:
    """A backbone whose adapters have been trained a little, and the names of its tensors before it had any."""
    torch.manual_seed(0)
    backbone = create_backbone(name, "none").eval()
    images, names = pictures(backbone), set(backbone.state_dict())
    with torch.no_grad():
        before = backbone(images)
        add_lora(backbone, 4)
        torch.testing.assert_close(backbone(images), before, atol=1e-5, rtol=0)
    optimizer = torch.optim.Adam([p for p in backbone.parameters() if p.requires_grad], lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        backbone(images)[:, ::2].square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert (backbone(images) - before).abs().max() > 1e-3
    return backbone, names


def pictures(backbone: Backbone) -> Tensor:
    size = backbone.image_size or 64
    return torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("test_vit", 6 * 4),
        ("test_vit3", 9 * 4 + 5),  # with those of its attention pooling
        pytest.param("eva02_tiny_patch14_224", 12 * 4, marks=pytest.mark.slow),
        pytest.param("vit_small_patch14_reg4_dinov2", 12 * 4, marks=pytest.mark.slow),
        pytest.param("vit_base_patch16_siglip_224", 12 * 4 + 5, marks=pytest.mark.slow),
        pytest.param("beit_base_patch16_224", 12 * 4, marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224", 12 * 4 + 3, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_saved_model_is_an_ordinary_one(
    name: str, layers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, names = adapted(name)
    images = pictures(backbone)
    assert len(backbone.adapters) == 2 * layers
    assert {p for p in backbone.parameters() if p.requires_grad} == set(backbone.adapters)
    assert all(p.grad is not None and p.grad.any() for p in backbone.adapters), "each adapter has a part in the result"
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (4, 8))).eval()
    before = copy.deepcopy(model.state_dict())
    save_model(tmp_path / "model.safetensors", model, {"size": images.shape[-1], "fit": "crop"})
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before), "training goes on with the same weights"

    monkeypatch.setitem(sys.modules, "peft", None)  # from here on it cannot be imported
    opened, _ = load_model(tmp_path / "model.safetensors")
    assert set(opened.backbone.state_dict()) == names
    with torch.inference_mode():
        torch.testing.assert_close(opened(images), model(images), atol=1e-5, rtol=0)
        features, scale = backbone(images), backbone(images).abs().max()
        assert (InferenceBackbone(backbone)(images) - features).abs().max() < 1e-5 * max(1, scale)


def test_adapters_belong_to_the_groups_of_their_layers() -> None:
    backbone, _ = adapted("test_vit")
    groups = dict(backbone.groups())
    held = [id(parameter) for parameters in groups.values() for parameter in parameters]
    assert sorted(held) == sorted(map(id, backbone.parameters()))
    ours = {id(adapter) for adapter in backbone.adapters}
    assert [sum(id(p) in ours for p in parameters) for parameters in groups.values()] == [0, *[8] * 6, 0]
    backbone.freeze(3)
    assert sum(p.requires_grad for p in backbone.parameters()) == 4 * 8
    backbone.freeze("all")
    assert not any(p.requires_grad for p in backbone.parameters())
    backbone.freeze(0)
    assert {id(p) for p in backbone.parameters() if p.requires_grad} == ours


def test_a_network_without_linear_layers() -> None:
    with pytest.raises(ModelError, match="resnet18 has no linear layers") as caught:
        add_lora(create_backbone("resnet18", "none"), 4)
    assert caught.value.where == "lora"
    assert "leave it out" in str(caught.value.remedy)
