"""int8: smaller, its cost measured on pictures, its vectors kept apart from those of the model."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from bier.data import open_source
from bier.evaluate import evaluate_retrieval
from bier.export import OnnxEncoder
from bier.export.parity import encode_all
from bier.export.quantization import whole_classes
from bier.vectors.encoder import Encoder


@pytest.mark.slow
def test_its_cost_is_what_the_file_costs(encoder: Encoder, photos: Path, int8_export: tuple[Path, str]) -> None:
    small = OnnxEncoder.load(int8_export[0])
    stated = small.description["quantization"]
    test = open_source(photos).only("test")
    pictures = torch.stack([small.prepare(test.path(row)) for row in range(len(test))])
    for model, key in ((encoder, "recall_float32"), (small, "recall_int8")):
        recall = evaluate_retrieval(encode_all(model, pictures), test.label).recall
        assert {str(k): value for k, value in recall.items()} == pytest.approx(stated[key])
    assert stated["recall_float32"]["1"] - stated["recall_int8"]["1"] <= 0.1, "30 pictures, one epoch"
    cosines = (encoder.encode(pictures) * small.encode(pictures)).sum(1)
    assert cosines.median() > 0.97


@pytest.mark.slow
def test_its_vectors_are_kept_apart(encoder: Encoder, int8_export: tuple[Path, str]) -> None:
    described = OnnxEncoder.load(int8_export[0]).description
    assert described["model"] == encoder.fingerprint
    assert described["fingerprint"] not in ("", encoder.fingerprint), "an index of float32 vectors refuses it"


@pytest.mark.slow
def test_the_backbone_is_int8_and_the_head_is_not(onnx_file: Path, int8_export: tuple[Path, str]) -> None:
    path = int8_export[0]
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert path.stat().st_size < onnx_file.stat().st_size / 2
    graph = onnx.load(path).graph
    restored = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    of_int8 = [node.op_type for node in graph.node if set(node.input) <= restored | {""} and node.input]
    convolutions = sum(node.op_type == "Conv" for node in graph.node)
    assert of_int8.count("Conv") == convolutions > 40
    assert not any("Gemm" in kind or kind == "ReduceL2" for kind in of_int8)


def test_classes_are_measured_whole(photos: Path) -> None:
    manifest = open_source(photos)
    assert len(whole_classes(manifest, 1000)) == 60
    assert len(whole_classes(manifest, 20)) == 18
    assert len(whole_classes(manifest, 1)) == 12
