"""The optimiser's state comes back as it was, whatever the memory layout of its parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bier.system.json_values import anything
from bier.system.tensors import STATE_FORMAT, load_tensors, save_tensors
from bier.training.optimizer_state import is_fused, optimizer_tensors, restore_optimizer, unfuse


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 2)).to(memory_format=torch.channels_last)


def adamw(trained: nn.Module, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(trained.parameters(), lr=0.1, fused=fused)


def trained(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[Tensor]:
    for number in steps:
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        network(images.to(memory_format=torch.channels_last)).square().sum().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in network.parameters()]


@pytest.mark.parametrize("fused", [True, False])
def test_a_run_that_was_interrupted_goes_on_bit_for_bit(fused: bool, tmp_path: Path) -> None:
    straight = network()
    whole = trained(straight, adamw(straight, fused), range(6))
    begun = network()
    optimizer = adamw(begun, fused)
    trained(begun, optimizer, range(3))
    save_tensors(tmp_path / "state", optimizer_tensors(optimizer), STATE_FORMAT, {})
    after = adamw(begun, fused)
    restore_optimizer(after, load_tensors(tmp_path / "state", STATE_FORMAT, anything)[0])
    assert all(map(torch.equal, trained(begun, after, range(3, 6)), whole))


def test_fused_steps_are_those_of_the_formula() -> None:
    """On filters that are stored channels-last, too."""
    one, other = network(), network()
    pairs = zip(trained(one, adamw(one, True), range(3)), trained(other, adamw(other, False), range(3)), strict=True)
    for fused, plain in pairs:
        torch.testing.assert_close(fused, plain)


def test_a_run_of_an_older_version_keeps_its_steps() -> None:
    one, other = network(), network()
    older, plain = adamw(one, True), adamw(other, False)
    unfuse(older)
    assert not is_fused(older)
    assert all(map(torch.equal, trained(one, older, range(3)), trained(other, plain, range(3))))
