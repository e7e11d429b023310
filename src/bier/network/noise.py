"""What a network does, tried on noise: some questions are answered by a run better than by a list of names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def noise(size: int) -> Tensor:
    """One picture (1, 3, size, size), always the same."""
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))


@contextmanager
def trying(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards the network trains again if it did."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
