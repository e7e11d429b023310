"""One pass of a model over pictures: order, faults, modes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from bier.data.images import TestTransform
from bier.data.manifest import Manifest
from bier.errors import DataError
from bier.method.ensemble import EmbeddingEnsemble, normalize
from bier.network.model import RetrievalModel
from bier.system.hardware import Hardware
from bier.vectors.embed import embed

VIEW = TestTransform(8)


class MeanColor(nn.Module):
    """A backbone whose three features are an image's mean colour."""

    features = 3

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.mix = nn.Linear(3, 3, bias=False)  # bfloat16 under autocast
        nn.init.eye_(self.mix.weight)

    def forward(self, images: Tensor) -> Tensor:
        assert len(images), "some kernels refuse an empty batch"
        return self.mix(self.norm(images / 255).mean((2, 3)))


def model() -> RetrievalModel:
    torch.manual_seed(0)
    return RetrievalModel(MeanColor(), EmbeddingEnsemble(3, (2, 4)))  # type: ignore[arg-type]


def manifest_of(folder: Path, count: int, broken: tuple[int, ...] = ()) -> Manifest:
    """Pictures of one colour each, red = 10 x row."""
    for row in range(count):
        Image.new("RGB", (12, 9), (10 * row, 100, 50)).save(folder / f"{row}.png")
    for row in broken:
        (folder / f"{row}.png").write_bytes(b"no picture")
    images = [f"{row}.png" for row in range(count)]
    return Manifest.of(folder, "colours", image=images, label=images, split=["test"] * count)


@pytest.mark.parametrize("workers", [0, 1])
def test_rows_are_the_manifests_and_broken_pictures_are_named(tmp_path: Path, workers: int) -> None:
    manifest = manifest_of(tmp_path, 11, broken=(0, 5, 6, 7))  # a whole batch of broken ones among them
    (tmp_path / "9.png").unlink()
    done: list[int] = []
    vectors = embed(
        model(), manifest, transform=VIEW, batch_size=3, hardware=Hardware(workers=workers), progress=done.append
    )
    assert vectors.index.tolist() == [1, 2, 3, 4, 8, 10]
    assert [Path(str(error.where)).name for error in vectors.failed] == ["0.png", "5.png", "6.png", "7.png", "9.png"]
    assert sum(done) == 11
    red = vectors.features[:, 0] / vectors.features[0, 0]
    assert red.tolist() == pytest.approx(vectors.index.tolist(), rel=1e-4)


def test_learners_are_the_heads_normalised_outputs(tmp_path: Path) -> None:
    net = model()
    vectors = embed(net, manifest_of(tmp_path, 7), transform=VIEW, batch_size=4)
    assert [tuple(z.shape) for z in vectors.learners] == [(7, 2), (7, 4)]
    expected = [normalize(output) for output in net.head.learners(vectors.features)]
    torch.testing.assert_close(list(vectors.learners), expected)
    assert not any(z.requires_grad for z in vectors.learners)


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    net = model().train()
    net.backbone.norm.eval()
    net.head.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    embed(net, manifest_of(tmp_path, 4), transform=VIEW)
    assert net.training
    assert net.head.training
    assert not net.backbone.norm.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    # In evaluation mode a picture's vector does not depend on its batch.
    net.train()
    together = embed(net, manifest_of(tmp_path, 4), transform=VIEW)
    alone = embed(net, manifest_of(tmp_path, 4), transform=VIEW, batch_size=1)
    torch.testing.assert_close(together.features, alone.features)
    assert net.backbone.norm.num_batches_tracked == 0


def test_a_failure_restores_the_model_too(tmp_path: Path) -> None:
    net = model().train()
    with torch.no_grad():
        net.head.linear.weight[0, 0] = torch.nan
    with pytest.raises(DataError, match=r"NaN or infinity for 0\.png, 1\.png"):
        embed(net, manifest_of(tmp_path, 2), transform=VIEW)
    assert net.training
    assert net.backbone.norm.training


def test_nothing_to_embed_is_named(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, 2, broken=(0, 1))
    with pytest.raises(DataError, match="none of the 2 pictures"):
        embed(model(), manifest, transform=VIEW)
    with pytest.raises(DataError, match="no pictures to embed"):
        embed(model(), manifest.take(np.array([], dtype=int)), transform=VIEW)


def test_bfloat16_touches_the_backbone_only(tmp_path: Path) -> None:
    net, manifest = model(), manifest_of(tmp_path, 5)
    half = embed(net, manifest, transform=VIEW, hardware=Hardware(precision=torch.bfloat16))
    assert not torch.equal(half.features, embed(net, manifest, transform=VIEW).features)
    assert half.features.dtype == torch.float32
    torch.testing.assert_close(list(half.learners), [normalize(f) for f in net.head.learners(half.features)])


def test_of_a_part_none_need_be_readable(tmp_path: Path) -> None:
    made = embed(model(), manifest_of(tmp_path, 2, broken=(0, 1)), transform=VIEW, part=True)
    assert len(made) == 0 and len(made.failed) == 2
    assert [tuple(z.shape) for z in made.learners] == [(0, 2), (0, 4)]
