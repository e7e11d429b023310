"""Mistakes in settings that only the objects notice: the message names the setting."""

from __future__ import annotations

import pytest
import torch

from bier.errors import BierError, ModelError
from bier.runs import build
from bier.runs.habits import with_habits
from bier.settings.reading import load

WITHOUT_WEIGHTS = "model.weights=none"


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        (["model.sizes=[96, 160]", "model.dimensions=512"], "model.sizes"),
        (["model.dimensions=5", "model.learners=3"], "model.dimensions, model.learners"),
        (["model.backbone=resnet5O"], "model.backbone"),
        (["model.backbone=vit_tiny_patch16_224", "model.pooling=gem"], "model.pooling"),
        (["model.backbone=googlenet", "model.drop_path=0.1"], "model.drop_path"),
        (["optimizer.freeze=99"], "optimizer.freeze"),
    ],
)
def test_mistakes_about_the_model_name_their_setting(overrides: list[str], where: str) -> None:
    with pytest.raises(BierError) as caught:
        build.model(load(None, [WITHOUT_WEIGHTS, *overrides]))
    assert caught.value.where == where
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        (["loss.schedule=convex"], "loss.schedule"),
        (["loss.name=binomial_deviance", "loss.schedule=convex", "loss.shrinkage=0.06"], "loss.shrinkage"),
        (["loss.name=triplet", "loss.options.mining=semi-hard"], "loss.options.mining"),
    ],
)
def test_mistakes_about_the_loss_name_their_setting(overrides: list[str], where: str) -> None:
    with pytest.raises(BierError) as caught:
        build.boosting(load(None, overrides), (8, 16), 10)
    assert caught.value.where == where
    assert caught.value.remedy


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("vit_small_patch14_dinov2", "sides are multiples of 14 pixels, not 128\n  → set image.size to 126 or 140"),
        ("swin_tiny_patch4_window7_224", "sides are multiples of 32 pixels"),
        ("mixer_s32_224", "takes images of 224 pixels, not 128"),
    ],
)
def test_a_size_that_no_such_backbone_takes(backbone: str, message: str) -> None:
    config = load(None, [WITHOUT_WEIGHTS, f"model.backbone={backbone}", "image.size=128"])
    if backbone.startswith("swin"):
        config = config.replace(image__size=100)
    with pytest.raises(ModelError, match=message) as caught:
        build.image_size(config, CPU)
    assert caught.value.where == "image.size"


def test_a_size_far_from_what_the_weights_know_is_told() -> None:
    config = load(None, [])
    assert build.size_warning(config, build.image_size(config, CPU)) is None
    assert "64 px is far from the 224 px" in str(build.size_warning(config, 64))
    assert build.size_warning(config.replace(model__weights="none"), 64) is None


def test_what_the_settings_leave_out_is_filled_in_by_family() -> None:
    lite0 = with_habits(load(None, []))
    found = lite0.optimizer
    assert (found.learning_rate, found.head_factor, found.layer_decay, found.warmup) == (1e-4, 1.0, 1.0, 0.1)
    assert lite0.model.drop_path == 0
    dinov2 = with_habits(load(None, ["model.backbone=vit_small_patch14_dinov2", "optimizer.warmup=0.3"]))
    assert dinov2.optimizer.learning_rate == 3e-5
    assert dinov2.optimizer.layer_decay == 0.75
    assert dinov2.optimizer.warmup == 0.3
    assert dinov2.model.drop_path == 0.1


def test_a_size_that_the_backbone_does_not_take() -> None:
    model = build.model(load(None, [WITHOUT_WEIGHTS, "model.backbone=mixer_s32_224"]))
    build.check_image_size(model, 224)
    with pytest.raises(ModelError, match="takes images of 224 pixels, not 128") as caught:
        build.check_image_size(model, 128)
    assert caught.value.where == "image.size"
