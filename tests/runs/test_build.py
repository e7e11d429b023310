"""Mistakes in settings that only the objects notice: the message names the setting."""

from __future__ import annotations

import pytest

from bier.errors import BierError, ModelError
from bier.runs import build
from bier.settings.reading import load

WITHOUT_WEIGHTS = "model.weights=none"


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        (["model.sizes=[96, 160]", "model.dimensions=512"], "model.sizes"),
        (["model.dimensions=5", "model.learners=3"], "model.dimensions, model.learners"),
        (["model.backbone=resnet5O"], "model.backbone"),
        (["model.backbone=vit_tiny_patch16_224", "model.pooling=gem"], "model.pooling"),
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


def test_a_size_that_the_backbone_does_not_take() -> None:
    model = build.model(load(None, [WITHOUT_WEIGHTS, "model.backbone=mixer_s32_224"]))
    build.check_image_size(model, 224)
    with pytest.raises(ModelError, match="takes images of 224 pixels, not 128") as caught:
        build.check_image_size(model, 128)
    assert caught.value.where == "image.size"
