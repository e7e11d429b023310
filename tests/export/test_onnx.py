"""The ONNX file is the model: same vectors, any batch, every kind of picture, described so that others can use it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from bier.confidence.fitting import calibrate
from bier.data.images import Filter, Fit, TestTransform
from bier.errors import ImageError, ModelError
from bier.export import OnnxEncoder, Parity, load_encoder, parity, write_onnx
from bier.export import onnx as onnx_format
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.vectors.encoder import Encoder


def test_it_agrees_with_the_model_for_every_batch_size(
    encoder: Encoder, images: Tensor, onnx_export: tuple[Path, Parity]
) -> None:
    path, found = onnx_export
    assert (found.pictures, found.same_top) == (len(images), len(images))
    assert found.difference < 1e-5
    exported = OnnxEncoder.load(path)
    for size in (1, 3, 8, len(images)):
        batch = images[:size]
        torch.testing.assert_close(exported.encode(batch), encoder.encode(batch), atol=1e-5, rtol=0)


def test_it_has_the_encoders_interface(encoder: Encoder, onnx_file: Path, photos: Path) -> None:
    exported = load_encoder(onnx_file)
    for name in ("fingerprint", "sizes", "scales", "dimensions", "transform"):
        assert getattr(exported, name) == getattr(encoder, name)
    [picture] = [exported.prepare(path) for path in sorted(photos.rglob("*.jpg"))[:1]]
    vectors = exported.encode([picture, picture])
    assert (vectors.shape, vectors.dtype) == ((2, 24), torch.float32)
    for learners in (1, 2):
        with torch.inference_mode():
            expected = encoder.model(picture[None], learners)
        torch.testing.assert_close(exported.encode([picture], learners), expected, atol=1e-5, rtol=0)
    with pytest.raises(ImageError, match=r"fake\.jpg"):
        exported.prepare(b"<svg/>", name="fake.jpg")


def description(path: Path) -> dict[str, Any]:
    [entry] = [item for item in onnx.load(path).metadata_props if item.key == "bier"]
    found: dict[str, Any] = json.loads(entry.value)
    return found


def test_the_description_is_complete_and_true(encoder: Encoder, onnx_file: Path) -> None:
    graph = onnx.load(onnx_file)
    onnx.checker.check_model(graph, full_check=True)
    found = description(onnx_file)
    assert found["format"] == "bier-export-1"
    assert found["fingerprint"] == found["model"] == encoder.fingerprint
    assert (found["sizes"], found["dimensions"]) == ([8, 16], 24)
    assert found["scales"] == pytest.approx([(1 / 3) ** 0.5, (2 / 3) ** 0.5])
    assert found["image"] == {"size": 64, "fit": "crop", "filter": "bilinear"}
    assert found["normalization"] == {
        "inside": True,
        "mean": list(encoder.model.backbone.mean),
        "std": list(encoder.model.backbone.std),
    }
    assert found["opset"] == graph.opset_import[0].version
    [entry], [result] = graph.graph.input, graph.graph.output
    assert (entry.name, entry.type.tensor_type.elem_type) == (found["input"]["name"], onnx.TensorProto.UINT8)
    assert result.name == found["output"]["name"]
    shapes = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in (entry, result)]
    assert shapes == [found["input"]["shape"], found["output"]["shape"]]


def test_no_path_of_this_machine_is_inside(onnx_file: Path) -> None:
    content = onnx_file.read_bytes()
    assert str(Path(onnx_format.__file__).parents[1]).encode() not in content
    assert b"stack_trace" not in content


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_another_programmer_gets_there_by_the_steps(fit: Fit, filter: Filter, onnx_file: Path, photos: Path) -> None:
    """The steps of the description, written anew with Pillow and NumPy, and the file run by onnxruntime alone."""
    size = description(onnx_file)["image"]["size"]
    reference = TestTransform(size, fit, filter)
    resampling = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[filter]
    session = onnxruntime.InferenceSession(onnx_file)
    for path in sorted(photos.rglob("*.jpg"))[:8]:
        picture = Image.open(path).convert("RGB")
        mine = np.asarray({"crop": _crop, "stretch": _stretch, "pad": _pad}[fit](picture, size, resampling)).transpose(
            2, 0, 1
        )
        ours = reference(torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)).numpy()
        assert np.abs(mine.astype(int) - ours.astype(int)).max() <= 1, "two roundings"
        pair = session.run(["vector"], {"images": np.stack([mine, ours])})[0]
        assert pair[0] @ pair[1] > 0.999


def _crop(picture: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    w, h = picture.size
    a = max(1, round(min(h, w) * 7 / 8))
    top, left = (h - a) // 2, (w - a) // 2
    return picture.crop((left, top, left + a, top + a)).resize((size, size), resampling)


def _stretch(picture: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    w, h = picture.size
    a, b = max(1, round(h * 7 / 8)), max(1, round(w * 7 / 8))
    top, left = (h - a) // 2, (w - b) // 2
    return picture.crop((left, top, left + b, top + a)).resize((size, size), resampling)


def _pad(picture: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    w, h = picture.size
    k = size / max(h, w)
    picture = picture.resize((max(1, round(w * k)), max(1, round(h * k))), resampling)
    square = Image.new("RGB", (size, size), "white")
    square.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return square


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_other_backbones(name: str, tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, weights="none")
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (8, 24), weighting="equal"))
    save_model(tmp_path / "m.safetensors", model, {"size": 64, "fit": "pad"})
    found = write_onnx(Encoder.load(tmp_path / "m.safetensors"), tmp_path / "m.onnx", images)
    assert found.difference < 1e-5
    exported = OnnxEncoder.load(tmp_path / "m.onnx")
    assert exported.scales == pytest.approx([0.5**0.5] * 2)
    assert exported.transform.fit == "pad"


def test_a_file_that_is_another_model_is_not_kept(
    encoder: Encoder, images: Tensor, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = onnx.load(onnx_file)
    scales = next(item for item in graph.graph.initializer if item.name == "backbone._shift")
    scales.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scales) + 0.01, scales.name))
    monkeypatch.setattr(onnx_format, "trace", lambda _: graph)  # as if torch had translated one number wrongly
    with pytest.raises(ModelError, match="not written, for it would not be the same model: 24 pictures"):
        write_onnx(encoder, tmp_path / "m.onnx", images)
    assert not list(tmp_path.iterdir())


def test_parity_counts_neighbours_and_forgives_ties_only() -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(30, 16))
    vectors[7] = vectors[3]  # a duplicate ties with the original
    assert parity.compare(vectors, vectors.flip(0).flip(0)).holds
    moved = vectors + torch.zeros_like(vectors).index_fill_(0, torch.tensor([5]), 5e-5)
    assert parity.compare(vectors, moved).difference == pytest.approx(5e-5, rel=1e-2)
    swapped = vectors.clone()
    swapped[[1, 2]] = vectors[[2, 1]]
    assert parity.compare(vectors, swapped).same_top < 30
    broken = vectors.clone()
    broken[0, 0] = torch.nan
    assert not parity.compare(vectors, broken).holds


def test_files_that_are_no_export(tmp_path: Path, onnx_file: Path, run_folder: Path) -> None:
    foreign = onnx.load(onnx_file)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    (tmp_path / "cut.onnx").write_bytes(onnx_file.read_bytes()[:5000])
    (tmp_path / "cut.pt2").write_bytes(b"PK\x03\x04")
    for name, message in {
        "foreign.onnx": "was not written by",
        "cut.onnx": "cannot be loaded as ONNX",
        "cut.pt2": "cannot be loaded as torch program",
        "none.onnx": "no such file",
    }.items():
        with pytest.raises(ModelError, match=message) as caught:
            load_encoder(tmp_path / name, trust_code=True)
        assert caught.value.remedy
        assert name in str(caught.value)
    assert isinstance(load_encoder(run_folder), Encoder)


@pytest.mark.slow
def test_it_carries_how_sure_answers_are(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    drawn, labels = np.random.default_rng(0), np.repeat(np.arange(8), 10)
    vectors = drawn.normal(size=(8, encoder.dimensions))[labels] + drawn.normal(size=(80, encoder.dimensions))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    learned = calibrate(vectors, labels, vectors, labels, encoder.sizes, itself=np.arange(80))
    write_onnx(dataclasses.replace(encoder, calibration=learned), tmp_path / "model.onnx", images)
    exported = load_encoder(tmp_path / "model.onnx")
    assert exported.fingerprint == encoder.fingerprint
    assert exported.calibration is not None
    assert exported.calibration.to_json() == learned.to_json()
