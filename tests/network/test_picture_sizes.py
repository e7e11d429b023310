"""Sizes of pictures: what is chosen, what a network takes, and what its weights know."""

from __future__ import annotations

import pytest

from bier.network.create import create_backbone
from bier.network.names import family_of
from bier.network.picture_sizes import PictureSizes


@pytest.mark.parametrize(
    ("name", "cpu", "gpu"),
    [
        ("efficientnet_lite0", 128, 224),
        ("efficientnet_lite2", 160, 260),
        ("resnet18", 128, 224),
        ("vit_small_patch14_dinov2", 126, 224),
        ("vit_small_patch16_dinov3", 144, 256),
        ("vit_base_patch32_clip_224", 224, 224),  # four patches along a side would show too little
        ("swin_tiny_patch4_window7_224", 224, 224),
        ("mixer_s32_224", 224, 224),  # takes no other
        ("hf-hub:timm/eva02_tiny_patch14_224.mim_in22k", 126, 224),
        pytest.param("deepseek_vit_412m", 308, 546, marks=pytest.mark.slow),  # whole patches of 14
        ("halonet_h1", 256, 256),  # blocks of eight behind a stride of 32
        ("inception_v3", 160, 299),
        ("no_such_network", 128, 224),
    ],
)
def test_the_size_that_is_chosen(name: str, cpu: int, gpu: int) -> None:
    sizes = family_of(name).sizes(name)
    assert (sizes.chosen(on_cpu=True), sizes.chosen(on_cpu=False)) == (cpu, gpu)


def test_a_network_of_blocks_takes_its_own_size_alone() -> None:
    assert create_backbone("halonet_h1", "none", pooling="auto").image_size == 256


def test_the_nearest_sizes() -> None:
    assert PictureSizes(224, 14).nearest(126) == [126]
    assert PictureSizes(224, 14).nearest(128) == [126, 140]
    assert PictureSizes(224, 64).nearest(40) == [64]
    assert PictureSizes(224, only=True).nearest(128) == [224]
    assert PictureSizes(224).takes(131)


def test_what_is_far_from_the_weights() -> None:
    sizes = PictureSizes(224)
    assert [size for size in (100, 112, 224, 448, 460) if sizes.is_far(size)] == [100, 460]
    dinov2 = family_of("vit_small_patch14_dinov2").sizes("vit_small_patch14_dinov2")
    assert not dinov2.is_far(700)
    assert dinov2.is_far(98)
