"""Files of a run: whole or not at all, and refused when they are not what they should be."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bier.errors import ModelError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model, save_model
from bier.system.tensors import save_tensors
from bier.training.optimizer_state import optimizer_tensors, restore_optimizer

IMAGE = {"size": 64, "fit": "crop"}


@pytest.fixture(scope="module")
def model() -> RetrievalModel:
    torch.manual_seed(0)
    backbone = create_backbone("efficientnet_lite0", "none")
    return RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (8, 16), weighting="size")).eval()


def test_a_model_comes_back_with_the_same_vectors(model: RetrievalModel, tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", model, IMAGE)
    loaded, info = load_model(tmp_path)  # a run's folder will do
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
        assert torch.equal(loaded(images, learners=1), model(images, learners=1))
    assert (info.sizes, info.weighting, dict(info.image)) == ((8, 16), "size", IMAGE)


def test_a_turned_head_keeps_its_shares(model: RetrievalModel, tmp_path: Path) -> None:
    head = EmbeddingEnsemble(model.backbone.features, (8, 16), weighting=(0.7, 0.3))
    save_model(tmp_path / "model.safetensors", RetrievalModel(model.backbone, head), IMAGE)
    assert load_model(tmp_path)[0].head.weighting == (0.7, 0.3)


def test_shares_of_another_sum_come_back(model: RetrievalModel, tmp_path: Path) -> None:
    head = EmbeddingEnsemble(model.backbone.features, (8, 16), weighting=(6, 2))
    save_model(tmp_path / "model.safetensors", RetrievalModel(model.backbone, head), IMAGE)
    loaded = load_model(tmp_path)[0].head
    assert loaded.weighting == (0.75, 0.25)
    assert torch.equal(loaded.scales(), head.scales())


def test_a_truncated_model_is_named(model: RetrievalModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, model, IMAGE)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="truncated") as caught:
        load_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle in a zip", struct.pack("<Q", 2**62)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(path)


def test_tensors_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="of kind 'unknown'"):
        load_model(path)
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "elsewhere.safetensors")


def test_a_model_that_contradicts_its_description_is_refused(model: RetrievalModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    content = {"backbone": model.backbone.spec(), "sizes": [8, 17], "weighting": "size", "image": IMAGE}
    save_tensors(path, model.state_dict(), "bier-model-1", content)
    with pytest.raises(ModelError, match="does not fit its own description"):
        load_model(path)


def test_optimizer_state_comes_back_exactly() -> None:
    def fresh() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 3)
        return layer, torch.optim.AdamW([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.5}])

    def step(layer: torch.nn.Linear, optimizer: torch.optim.Optimizer, seed: int) -> None:
        layer(torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    straight, optimizer = fresh()
    for seed in range(4):
        step(straight, optimizer, seed)
    first, optimizer = fresh()
    for seed in range(2):
        step(first, optimizer, seed)
    second, again = fresh()
    second.load_state_dict(first.state_dict())
    restore_optimizer(again, {key: value.clone() for key, value in optimizer_tensors(optimizer).items()})
    for seed in range(2, 4):
        step(second, again, seed)
    assert torch.equal(second.weight, straight.weight)
    assert torch.equal(second.bias, straight.bias)
