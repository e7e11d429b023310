"""Runs with LoRA: resumed bit for bit, in parts and in processes the same, and models that are ordinary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from folders import some_birds
from safetensors.torch import load_file
from tiny_runs import TINY, At, interrupt

import bier
from bier.errors import ModelError
from bier.network.create import create_backbone
from bier.network.names import family_of
from bier.settings.reading import from_table, save
from bier.training.stopping import Interrupted

LORA = {
    **TINY,
    "model.refit": False,  # of so few pictures, rounding would decide which average of heads is the best
    "model.backbone": "test_vit",
    "model.pooling": "class",
    "model.lora": 4,
    "optimizer.learning_rate": 1e-3,
    "optimizer.layer_decay": 0.8,
}


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)


@pytest.fixture(scope="module")
def straight(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> bier.Run:
    """A run that nobody disturbed."""
    return bier.train(birds, LORA, tmp_path_factory.mktemp("runs") / "straight", quiet=True)


def weights(run: bier.Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def test_its_model_is_an_ordinary_one_and_has_learned(straight: bier.Run) -> None:
    plain = create_backbone("test_vit", "none")
    names = {name.removeprefix("backbone.") for name in weights(straight) if name.startswith("backbone.")}
    assert names == set(plain.state_dict())
    assert not straight.model.backbone.adapters
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TINY.get("seed", 0))  # type: ignore[arg-type]
        before = create_backbone("test_vit", "none").state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, weights(straight)[f"backbone.{name}"])}
    layers = [f"network.blocks.{i}.{layer}.weight" for i in range(6) for layer in ("attn.qkv", "attn.proj", "mlp.fc1")]
    assert moved == {*layers, *(f"network.blocks.{i}.mlp.fc2.weight" for i in range(6))}


def test_an_interrupted_run_goes_on_bit_for_bit(birds: Path, straight: bier.Run, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        bier.train(birds, LORA, tmp_path / "run", callbacks=[At(2, interrupt)], quiet=True)
    resumed = bier.open_run(tmp_path / "run").resume(quiet=True)
    assert (resumed.folder / "model.safetensors").read_bytes() == (straight.folder / "model.safetensors").read_bytes()
    assert resumed.metrics is not None
    assert straight.metrics is not None
    assert resumed.metrics.rows == straight.metrics.rows


@pytest.mark.slow
def test_batches_in_parts_and_heads_alone(birds: Path, straight: bier.Run, tmp_path: Path) -> None:
    parts = bier.train(birds, {**LORA, "hardware.images_at_once": 2}, tmp_path / "parts", quiet=True)
    whole = weights(straight)
    assert max((tensor - whole[name]).abs().max() for name, tensor in weights(parts).items()) < 1e-4
    head = bier.train(birds, {**LORA, "optimizer.freeze": "all"}, tmp_path / "head", quiet=True)
    before = bier.train(birds, {**LORA, "optimizer.learning_rate": 0}, tmp_path / "before", quiet=True)
    same = [name for name, tensor in weights(head).items() if torch.equal(tensor, weights(before)[name])]
    assert {name for name in whole if name not in same} == {"head.linear.weight", "head.linear.bias"}


def test_a_network_without_linear_layers_is_refused(birds: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no linear layers") as caught:
        bier.train(birds, {**TINY, "model.lora": 4}, tmp_path / "run", quiet=True)
    assert caught.value.where == "model.lora"
    assert not (tmp_path / "run" / "config.yaml").exists(), "nothing is half-written"


@pytest.mark.slow
def test_three_processes_make_the_run_of_one(birds: Path, tmp_path: Path) -> None:
    save(from_table(LORA), tmp_path / "settings.yaml")
    folders = [tmp_path / f"{count}" for count in (1, 3)]
    for folder, processes in zip(folders, ("1", "3"), strict=True):
        options = ["--config", str(tmp_path / "settings.yaml"), "--out", str(folder), "--processes", processes]
        subprocess.run([sys.executable, "-m", "bier.cli", "train", str(birds), *options], check=True, timeout=600)
    one, three = (weights(bier.open_run(folder)) for folder in folders)
    assert max((one[name] - three[name]).abs().max() for name in one) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        "vit_small_patch14_reg4_dinov2",
        "vit_base_patch16_siglip_224",
        "eva02_tiny_patch14_224",
        "swin_tiny_patch4_window7_224",
    ],
)
def test_real_families_learn_with_it(backbone: str, birds: Path, tmp_path: Path) -> None:
    """Random weights: none of the real ones are at hand."""
    size = family_of(backbone).sizes(backbone).nearest(112)[-1]
    changes = {"model.backbone": backbone, "model.pooling": "auto", "image.size": size, "optimizer.epochs": 1}
    run = bier.train(birds, {**LORA, **changes}, tmp_path / "run", quiet=True)
    assert run.metrics is not None
    assert not run.model.backbone.adapters
