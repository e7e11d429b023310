"""Drop path: in training alone, more towards the output, and nothing in a model's file."""

from __future__ import annotations

import pytest
import torch
from timm.layers.drop import DropPath

from bier.errors import ModelError
from bier.network.create import create_backbone
from bier.network.drop_path import drop_paths


def test_paths_are_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    backbone, images = create_backbone("test_vit", "none"), torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    before, names = backbone.eval()(images), set(backbone.state_dict())
    drop_paths(backbone.network, 0.5, backbone.name)
    rates = [module.drop_prob for module in backbone.modules() if isinstance(module, DropPath)]
    assert rates == sorted(rates)
    assert (rates[0], rates[-1], len(rates)) == (0.0, 0.5, 12)
    assert set(backbone.state_dict()) == names
    assert torch.equal(backbone.eval()(images), before)
    assert not torch.equal(backbone.train()(images), before)


def test_a_network_without_such_blocks() -> None:
    backbone = create_backbone("googlenet", "none")
    with pytest.raises(ModelError, match="googlenet has no blocks"):
        drop_paths(backbone.network, 0.1, backbone.name)
