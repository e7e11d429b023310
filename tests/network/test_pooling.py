"""Poolings: defined for every value, offered where the network has what they pool, and rebuilt from a description."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bier.errors import ModelError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.backbone import Backbone, Pooling
from bier.network.choice import possible_poolings, side_by_side
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model, save_model
from bier.network.pooling import generalized_mean, signed_generalized_mean
from bier.settings.schema import ModelConfig

OF_PATCHES = ("patches", "patches-gem")
OF_TOKENS = ("class", *OF_PATCHES, "class+patches", "class+patches-gem")


def built(name: str, pooling: Pooling = "average") -> Backbone:
    """With weights that are random, and always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create_backbone(name, "none", pooling=pooling).eval()


def pictures(backbone: Backbone) -> Tensor:
    size = backbone.image_size or 64
    return torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def values(count: int = 50) -> Tensor:
    """Of either sign (3, count, 4)."""
    return torch.randn(3, count, 4, generator=torch.Generator().manual_seed(0))


def test_the_generalised_mean_of_values_of_either_sign() -> None:
    x = values()
    found = signed_generalized_mean(x, (1,))
    torch.testing.assert_close(signed_generalized_mean(-x, (1,)), -found, rtol=0, atol=0)
    torch.testing.assert_close(signed_generalized_mean(x, (1,), exponent=1), x.mean(1), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        signed_generalized_mean(x.abs(), (1,)), generalized_mean(x.abs(), (1,)), atol=2e-6, rtol=0
    )
    torch.testing.assert_close(signed_generalized_mean(x, (1,), exponent=60), x.amax(1) + x.amin(1), atol=0.4, rtol=0)


def test_its_slope_is_bounded_where_powers_cancel() -> None:
    """There the slope of a signed root, ``sign(m) |m|^(1/3)`` of the mean cube, has no bound."""
    x = torch.cat([values(), -values()], dim=1).requires_grad_()
    signed_generalized_mean(x, (1,)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() < 1
    moved = signed_generalized_mean(x.detach() + 1e-6 * values(100), (1,)) - signed_generalized_mean(x.detach(), (1,))
    assert moved.abs().max() < 1e-5


@pytest.mark.parametrize(
    ("name", "poolings"),
    [
        ("test_vit", ("average", *OF_TOKENS)),
        ("test_vit2", ("average", *OF_PATCHES)),  # one register and no class token
        ("test_vit3", ("average", *OF_PATCHES)),  # attention pooling
        ("test_vit_relpos", ("average", *OF_PATCHES)),
        ("test_convnext", ("average", "gem")),
        ("test_mambaout", ("average",)),
        pytest.param("vit_small_patch14_reg4_dinov2", ("average", *OF_TOKENS), marks=pytest.mark.slow),
        pytest.param("vit_small_patch16_dinov3", ("average", *OF_TOKENS), marks=pytest.mark.slow),
        pytest.param("vit_base_patch16_siglip_224", ("average", *OF_PATCHES), marks=pytest.mark.slow),
        pytest.param("vit_base_patch16_clip_224", ("average", *OF_TOKENS), marks=pytest.mark.slow),
        pytest.param("eva02_tiny_patch14_224", ("average", *OF_TOKENS), marks=pytest.mark.slow),
        pytest.param("beit_base_patch16_224", ("average", *OF_TOKENS), marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224", ("average", "gem"), marks=pytest.mark.slow),
        pytest.param("mobilenetv4_conv_small", ("average", "gem"), marks=pytest.mark.slow),
        pytest.param("resnet50_clip", ("average",), marks=pytest.mark.slow),
        pytest.param("pit_ti_224", ("average",), marks=pytest.mark.slow),
        pytest.param("deit_tiny_distilled_patch16_224", ("average",), marks=pytest.mark.slow),
        pytest.param("coat_tiny", ("average",), marks=pytest.mark.slow),
    ],
)
def test_a_network_offers_what_it_has(name: str, poolings: tuple[Pooling, ...], tmp_path: Path) -> None:
    plain = built(name)
    images = pictures(plain)
    assert possible_poolings(plain) == poolings
    together = side_by_side(plain)
    together.backbone.eval()
    with torch.no_grad():
        features = together.backbone(images)
        assert features.shape == (2, together.backbone.features)
        for pooling in poolings:
            alone = built(name, pooling)
            assert alone.pooling == pooling
            found = alone(images)
            assert found.shape == (2, alone.features)
            assert alone.features == plain.features * (2 if "+" in pooling else 1)
            torch.testing.assert_close(together.of(features, pooling), found, atol=1e-5, rtol=1e-5)
            twin = create_backbone(**json.loads(json.dumps(alone.spec())), weights="none").eval()
            twin.load_state_dict(alone.state_dict())
            assert torch.equal(twin(images), found)
    _saved_and_opened(alone, images, tmp_path / "model.safetensors")
    for pooling in {"gem", "class", "class+patches"} - set(poolings):
        with pytest.raises(ModelError, match=re.escape(f"{name} cannot be pooled by {pooling!r}")) as caught:
            built(name, typing.cast(Pooling, pooling))
        assert str(caught.value.remedy).endswith(f"that it can: {', '.join(poolings)}")


def _saved_and_opened(backbone: Backbone, images: Tensor, path: Path) -> None:
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (4, 8))).eval()
    save_model(path, model, {"size": images.shape[-1], "fit": "crop"})
    opened, info = load_model(path)
    assert info.backbone["pooling"] == backbone.pooling
    assert torch.equal(opened(images), model(images))


def test_registers_are_no_patches() -> None:
    backbone = built("test_vit2", "patches")
    network: typing.Any = backbone.network
    assert (network.cls_token, network.num_reg_tokens) == (None, 1)
    images = backbone.preprocess(pictures(backbone))
    with torch.no_grad():
        tokens = network.forward_features(images)
        torch.testing.assert_close(backbone(images), network.fc_norm(tokens[:, 1:].mean(1)), atol=1e-6, rtol=0)
        assert (tokens[:, 1:].mean(1) - tokens.mean(1)).abs().max() > 1e-3


@pytest.mark.slow
def test_the_class_token_stands_before_the_registers() -> None:
    backbone = built("vit_small_patch14_reg4_dinov2", "class+patches")
    images = backbone.preprocess(pictures(backbone))
    with torch.no_grad():
        tokens = typing.cast(typing.Any, backbone.network).forward_features(images)
        assert tokens.shape[1] == 1 + 4 + 5 * 5  # 64 pixels in patches of 14, the last ones filled up
        expected = torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], dim=1)
        torch.testing.assert_close(backbone(images), expected, atol=1e-6, rtol=0)


def test_a_description_cannot_ask_for_what_the_network_has_not(tmp_path: Path) -> None:
    backbone = built("test_resnet")
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (4, 8))).eval()
    backbone.pooling = "class"
    save_model(tmp_path / "model.safetensors", model, {"size": 64, "fit": "crop"})
    with pytest.raises(ModelError, match="cannot be built: test_resnet cannot be pooled by 'class'"):
        load_model(tmp_path / "model.safetensors")


def test_settings_know_the_same_names() -> None:
    hint = typing.get_type_hints(ModelConfig)["pooling"]
    assert typing.get_args(hint) == typing.get_args(Pooling)
