"""The head fitted again, in closed form, to features that training has changed, and averaged with the trained head.

In short training the features below the head gain more than the head does. A learned whitening of these features is as
good as the trained head, and errs elsewhere. Both are linear layers, so their average is one as well: nothing is added
at test time. docs/results.md has figures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bier.errors import ConfigError
from bier.method.ensemble import EPSILON, EmbeddingEnsemble
from bier.method.whitening import eigenvectors, whiten


@torch.no_grad()
def refit(
    head: EmbeddingEnsemble, features: Tensor, labels: Tensor, *, power: float = 0.5, seed: int = 0
) -> EmbeddingEnsemble:
    """A learned whitening of a head's features, brought as near to that head as a rotation can.

    The whitening's outputs are scaled to the mean length of the head's. They are turned by the orthogonal matrix that
    brings them nearest to the head's (Procrustes; Schönemann 1966), so learners keep their places. The learners before
    the last share the strongest directions: so they make a good smaller embedding by themselves.

    Args:
        head: a trained one, which is left as it is.
        features: (n, in_features), of training images.
        labels: (n,) their classes.
        power: of the whitening, as in `whiten`.
        seed: of the whitening's rotation, which matters only where features have fewer dimensions than the head.

    Raises:
        DataError: as `whiten`.
    """
    fitted = EmbeddingEnsemble(head.in_features, head.sizes, weighting=head.weighting)
    whiten(fitted, features, labels, power=power, seed=seed)
    x = features.detach().cpu().double()
    turn = _turn(_outputs(fitted, x), _outputs(head, x), sum(head.sizes[:-1]))
    weight, bias = fitted.in_float64()
    fitted.linear.weight.copy_(turn.T @ weight)
    fitted.linear.bias.copy_(bias @ turn)
    return fitted.to(head.linear.weight)


@torch.no_grad()
def average(head: EmbeddingEnsemble, other: EmbeddingEnsemble, share: float) -> EmbeddingEnsemble:
    """The head whose raw outputs are the mean of two heads' outputs; ``share``, 0 to 1, is that of the other.

    Raises:
        ConfigError: a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"{share} is no share", where="share", remedy="give a number from 0 to 1")
    mean = EmbeddingEnsemble(head.in_features, head.sizes, weighting=head.weighting).to(head.linear.weight)
    for result, mine, others in zip(mean.parameters(), head.parameters(), other.parameters(), strict=True):
        result.copy_(mine.lerp(others, share))
    return mean


def _turn(fitted: Tensor, trained: Tensor, first: int) -> Tensor:
    """(D, D), from the right of the whitening's outputs (n, D).

    Args:
        fitted: those outputs.
        trained: (n, D), the head's.
        first: dimensions before the last learner.
    """
    strongest = eigenvectors(fitted.T @ fitted)[1].flip(1)[:, :first]
    before = strongest @ _nearest(fitted @ strongest, trained[:, :first])
    return torch.cat([before, _nearest(fitted, trained)[:, first:]], dim=1)


def _nearest(outputs: Tensor, target: Tensor) -> Tensor:
    """The rotation that brings outputs (n, d) nearest to a target (n, d), times what makes them as long on average."""
    if not outputs.shape[1]:
        return outputs.new_zeros(0, 0)
    left, _, right = torch.linalg.svd(outputs.T @ target)
    rotation: Tensor = left @ right
    scale: Tensor = target.norm(dim=1).mean() / outputs.norm(dim=1).mean().clamp_min(EPSILON)
    return scale * rotation


def _outputs(head: EmbeddingEnsemble, x: Tensor) -> Tensor:
    """(n, D) of features (n, in_features), in float64."""
    weight, bias = head.in_float64()
    return x @ weight.T + bias
