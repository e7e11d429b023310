"""The one way from a picture to its vector."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from bier.data import Manifest, image_loader, open_source
from bier.data.images import TestTransform
from bier.errors import ConfigError, ImageError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.vectors.embed import embed
from bier.vectors.encoder import Encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Weights of ImageNet under a head of random numbers."""
    torch.manual_seed(0)
    model = RetrievalModel(create_backbone("efficientnet_lite0"), EmbeddingEnsemble(1280, (8, 24)))
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(file, model, {"size": 96, "fit": "crop"})
    return Encoder.load(file)


def test_a_model_that_names_no_filter_keeps_the_one_of_its_time(encoder: Encoder) -> None:
    assert encoder.transform == TestTransform(96, "crop", "bilinear")


def test_vectors_are_the_plain_models_alone_or_in_a_batch(encoder: Encoder, photographs: Path) -> None:
    manifest = open_source(photographs / "cub100")
    manifest = manifest.take(torch.arange(0, len(manifest), 700).numpy())
    images = [encoder.prepare(manifest.path(row)) for row in range(len(manifest))]
    with torch.inference_mode():
        plain = encoder.model(torch.stack(images))
    vectors = encoder.encode(images)
    assert (vectors - plain).norm(dim=1).max() < 1e-5
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(images)))
    assert (encoder.encode(images[3:4]) - plain[3]).norm() < 1e-5
    made = embed(encoder.model, manifest, transform=encoder.transform, batch_size=4)
    evaluated = torch.cat([s * z for s, z in zip(encoder.scales, made.learners, strict=True)], dim=1)
    assert (vectors - evaluated).norm(dim=1).max() < 1e-5
    half = Encoder(encoder.model, encoder.transform, encoder.fingerprint, torch.bfloat16).encode(images)
    assert 1e-5 < (half - plain).norm(dim=1).max() < 0.1


def test_a_prefix_of_learners_is_an_embedding_of_its_own(encoder: Encoder, photographs: Path) -> None:
    image = [encoder.prepare(next((photographs / "cub100" / "images").rglob("*.jpg")))]
    first = encoder.encode(image, 1)
    assert first.shape == (1, 8)
    torch.testing.assert_close(first * encoder.scales[0], encoder.encode(image)[:, :8])
    with pytest.raises(ConfigError, match="no prefix of 3 learners"):
        encoder.encode(image, 3)


def test_a_box_is_cut_as_bbox_of_a_manifest(encoder: Encoder, photographs: Path, tmp_path: Path) -> None:
    picture, turned, exif = (
        next((photographs / "cub100" / "images").rglob("*.jpg")),
        tmp_path / "turned.jpg",
        Image.Exif(),
    )
    exif[0x0112] = 6  # a quarter to the right
    with Image.open(picture) as opened:
        opened.save(turned, exif=exif)
    box = [10.6, -3.0, 40.45, 61.2]
    rows = Manifest.of(tmp_path, "boxed", image=[str(picture), str(turned)], label=["a", "b"], bbox=[box, box])
    (batch,) = image_loader(rows, encoder.transform)
    cut = [encoder.prepare(path, box=box) for path in (picture, turned)]
    assert torch.equal(encoder.encode(cut), encoder.encode(batch.images))
    assert not torch.equal(cut[0], cut[1])
    with pytest.raises(ImageError, match="outside the picture of"):
        encoder.prepare(picture, box=[100_000, 0, 10, 10])
