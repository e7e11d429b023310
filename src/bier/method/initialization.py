"""The diversity stage before training: make learners differ on frozen features (method, "Diversity")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bier.errors import DataError, NonFiniteLossError
from bier.method.diversity import joint_activation, responses
from bier.method.ensemble import EmbeddingEnsemble

WINDOW = 25
"""Steps over which the loss is averaged before it is compared."""
CENTRED = 0.01
"""An output's mean, in standard deviations, below which it counts as centred."""


@dataclass(frozen=True)
class Initialization:
    """What the stage did: steps taken, and loss and joint activation of the learners before and after."""

    steps: int
    loss_before: float
    loss_after: float
    joint_activation_before: float
    joint_activation_after: float


def initialize(
    head: EmbeddingEnsemble,
    features: Tensor,
    diversity: Callable[[Tensor, EmbeddingEnsemble], Tensor],
    *,
    seed: int = 0,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    max_steps: int = 2000,
    patience: int = 4,
) -> Initialization:
    """Minimise a diversity loss over the head's weights, in place, until it stops falling.

    The loss is averaged over windows of 25 steps; it has stopped when ``patience`` windows in a row bring less than
    0.1 % below the lowest. Whatever made the features is left alone, and so is the bias. A bias that centres the
    outputs, as after learned whitening, goes on doing so for the new weights.

    Args:
        head: its linear weights are changed.
        features: (n, in_features), of training images.
        diversity: ``ActivationLoss`` or ``AdversarialLoss`` (whose regressors are trained along), or a sum of them.
        seed: of the order of the batches.

    Raises:
        DataError: fewer than two feature vectors.
        NonFiniteLossError: the loss became NaN or infinite; the weights are those before the stage.
    """
    if len(features) < 2:
        raise DataError("initialisation needs features of at least two images", where="initialize")
    features = features.detach().to(head.linear.weight)
    parameters = [head.linear.weight]
    if isinstance(diversity, nn.Module):
        parameters += list(diversity.parameters())
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)
    original = head.linear.weight.detach().clone()
    centred = _is_centred(head, features)
    probe = features[torch.randperm(len(features), generator=generator)[:1024]]
    loss_before, activation_before = _measure(head, probe, diversity)
    lowest, stale, window, steps = float("inf"), 0, 0.0, 0
    while steps < max_steps and stale < patience:
        rows = torch.randint(len(features), (min(batch_size, len(features)),), generator=generator)
        loss = diversity(features[rows], head)
        if not torch.isfinite(loss):
            with torch.no_grad():
                head.linear.weight.copy_(original)
            raise NonFiniteLossError(
                f"the diversity loss is {loss.item()} after {steps} steps",
                where="initialize",
                remedy="lower learning_rate or the loss's weight, or check the features for NaN",
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        window += loss.item() / WINDOW
        if steps % WINDOW == 0:
            fell = window < lowest - 1e-3 * abs(lowest) if lowest < float("inf") else True
            stale = 0 if fell else stale + 1
            lowest, window = min(lowest, window), 0.0
    head.zero_grad(set_to_none=True)
    if centred:
        with torch.no_grad():
            head.linear.bias.copy_(-head.linear.weight @ features.mean(dim=0))
    loss_after, activation_after = _measure(head, probe, diversity)
    return Initialization(steps, loss_before, loss_after, activation_before, activation_after)


@torch.no_grad()
def _is_centred(head: EmbeddingEnsemble, features: Tensor) -> bool:
    """Whether every output is 0 on average, up to rounding."""
    outputs = head.linear(features)
    return bool((outputs.mean(dim=0).abs() <= CENTRED * outputs.std(dim=0)).all())


@torch.no_grad()
def _measure(
    head: EmbeddingEnsemble, features: Tensor, diversity: Callable[[Tensor, EmbeddingEnsemble], Tensor]
) -> tuple[float, float]:
    return float(diversity(features, head)), float(joint_activation(responses(features, head)))
