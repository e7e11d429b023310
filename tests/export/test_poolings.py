"""Exported files pool as their model does: tokens of a transformer, maps with their channels last."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from bier.data import open_source
from bier.export import OnnxEncoder, ProgramEncoder, sample, write_int8, write_onnx, write_program
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.backbone import Pooling
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.vectors.encoder import Encoder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("test_vit", "class+patches-gem"),
        ("test_vit3", "patches"),
        ("eva02_tiny_patch14_224", "class+patches"),
        ("vit_small_patch14_reg4_dinov2", "class+patches-gem"),
        ("vit_base_patch16_siglip_224", "patches-gem"),
        ("swin_tiny_patch4_window7_224", "gem"),
    ],
)
def test_every_file_gives_the_vectors_of_the_model(name: str, pooling: Pooling, photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, "none", pooling=pooling)
    size = backbone.image_size or 112
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (8, 16))).eval()
    save_model(tmp_path / "model.safetensors", model, {"size": size, "fit": "crop"})
    encoder = Encoder.load(tmp_path / "model.safetensors")
    manifest = open_source(photos)
    images = sample(manifest, encoder.transform, 8)
    expected = model(images).detach()
    torch.testing.assert_close(encoder.encode(images), expected, atol=1e-5, rtol=0)
    write_program(encoder, tmp_path / "m.pt2", images)
    program = ProgramEncoder.load(tmp_path / "m.pt2")
    torch.testing.assert_close(program.encode(images), expected, atol=1e-5, rtol=0)
    write_onnx(encoder, tmp_path / "m.onnx", images)
    torch.testing.assert_close(OnnxEncoder.load(tmp_path / "m.onnx").encode(images), expected, atol=1e-5, rtol=0)
    write_int8(encoder, tmp_path / "int8.onnx", images, images, manifest.only("test"))
    small = onnx.load(tmp_path / "int8.onnx").graph
    assert sum(node.op_type == "DequantizeLinear" for node in small.node) > 20, "the backbone is int8"
