"""A network of each family goes the whole way: training, resuming, figures, vectors, exports, an index, a search."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from folders import some_birds
from safetensors.torch import save_file
from servers import served
from tiny_runs import TINY, At, interrupt

import bier
from bier.cli import main
from bier.data import open_source
from bier.export import OnnxEncoder, sample, write_onnx
from bier.network.create import create_backbone
from bier.network.names import FAMILIES, family_of
from bier.search import open_index
from bier.serve import ServeSettings
from bier.training.stopping import Interrupted
from bier.vectors.parts import read_vectors

WENT = {
    "efficientnet_lite0": 64,
    "efficientnet_lite1": 64,
    "efficientnet_lite2": 64,
    "mobilenetv4_conv_small.e2400_r224_in1k": 64,
    "resnet50.a1_in1k": 64,
    "googlenet": 64,
    "convnext_atto.d2_in1k": 64,
    "tf_efficientnetv2_b0.in1k": 64,
    "vit_small_patch14_dinov2.lvd142m": 56,
    "vit_small_patch14_reg4_dinov2.lvd142m": 56,
    "vit_small_patch16_dinov3.lvd1689m": 64,
    "vit_base_patch32_siglip_256.v2_webli": 64,
    "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m": 64,
    "eva02_tiny_patch14_224.mim_in22k": 56,
    "swin_tiny_patch4_window7_224.ms_in1k": 64,
}
"""Networks that have passed the slow test, and sides of pictures in pixels. docs/backbones.md marks them."""
TINIEST = {"test_vit": 48}
PARITY = 1e-5
"""Largest difference of any entry of an exported model's vectors."""


def test_each_family_goes_the_whole_way() -> None:
    names = [member.name for family in FAMILIES.values() for member in family.members]
    assert set(WENT) <= set(names)
    assert {id(family_of(name)) for name in WENT} == {id(FAMILIES[key]) for key in FAMILIES if key != "timm"}


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)


def call(*words: object) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert not stopped.value.code, words


def random_weights(name: str, file: Path) -> Path | str:
    """Such as see the picture: a transformer or ConvNeXt of timm starts with blocks that add nearly nothing.

    Then all pictures have nearly the same features, and the whitening of the head magnifies rounding.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tensors = create_backbone(name, weights="none").network.state_dict()
    scales = [tensor for key, tensor in tensors.items() if "gamma" in key.rpartition(".")[2]]
    if not scales:
        return "none"
    for scale in scales:
        scale.fill_(1)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file)
    return file


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(*item, marks=[pytest.mark.slow, pytest.mark.timeout(900)])
        for item in (*TINIEST.items(), *WENT.items())
    ],
)
def test_the_whole_way(name: str, size: int, birds: Path, tmp_path: Path) -> None:
    folder, index = tmp_path / "run", tmp_path / "index"
    weights = random_weights(name, tmp_path / "weights.safetensors")
    settings = {**TINY, "model.backbone": name, "model.weights": str(weights), "image": {"size": size}}
    with pytest.raises(Interrupted):
        bier.train(birds, settings, folder, callbacks=[At(1, interrupt)], quiet=True)
    run = bier.open_run(folder).resume(quiet=True)
    habits = family_of(name).habits
    assert (run.settings.optimizer.learning_rate, run.settings.model.drop_path) == (
        habits.learning_rate,
        habits.drop_path,
    )
    assert run.evaluate(quiet=True).ensemble.dimensions == 24

    encoder, pictures = run.encoder("cpu"), sorted(birds.rglob("*.jpg"))
    call("embed", folder, birds, "-o", tmp_path / "vectors", "--workers", 0, "--device", "cpu")
    [stored] = read_vectors(tmp_path / "vectors")
    vectors = encoder.encode([encoder.prepare(birds / name) for name in stored.ids]).numpy()
    assert len(vectors) == len(pictures)
    assert np.abs(stored.vectors - vectors).max() < PARITY

    images = sample(open_source(birds), encoder.transform)
    parity = write_onnx(encoder, tmp_path / "model.onnx", images)
    assert parity.difference < PARITY
    exported = OnnxEncoder.load(tmp_path / "model.onnx")
    assert exported.transform.size == size
    call("export", folder, "--to", "onnx", "--int8", "-o", tmp_path / "small.onnx")
    small = OnnxEncoder.load(tmp_path / "small.onnx")
    assert np.isfinite(small.encode(images).numpy()).all()

    exactly = ("--engine", "exact", "--device", "cpu", "--precision", "float32")
    call("index", birds, "-o", index, "--model", folder, *exactly)
    with (
        open_index(index) as opened,
        served(opened, run.encoder("cpu"), ServeSettings()) as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):
        picture = {"picture": pictures[3].read_bytes()}
        answer = client.post("/api/search/pictures", files=picture, data={"top": len(pictures)})
    hits = answer.json()["hits"]
    own = next(hit for hit in hits if pictures[3].as_posix().endswith(hit["id"]))
    # Networks of random weights give some pictures nearly the same vector, and the first of them is any.
    assert own["score"] == pytest.approx(1, abs=1e-4)
    assert own["score"] > hits[0]["score"] - 1e-5
