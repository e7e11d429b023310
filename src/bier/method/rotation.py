"""The head turned after training: its learners get the principal directions of its outputs, the strongest first.

Training spreads each direction over all learners. A rotation of all outputs gathers them: the first learners hold what
training found most telling, the last ones what it neglected. So the first learners alone are a good smaller embedding.
Each learner is brought to length 1 by itself. So what was neglected counts: it tells new classes from trained ones.

It is linear, so it folds into the head: nothing is added at test time. Pictures need no labels. docs/results.md has
figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bier.method.ensemble import EPSILON, EmbeddingEnsemble
from bier.method.whitening import eigenvectors, refuse_unusable

STRENGTH = 0.75
"""Power of a learner's mean square length in its share of the score (docs/experiments.md)."""
_RIDGE = 1e-6
"""Of the mean strength of a direction, added to each."""
_LEAST = 1e-6
"""Share of the whole strength that every learner counts for at least, so that none has a weight of 0."""


@torch.no_grad()
def rotate(head: EmbeddingEnsemble, features: Tensor, sizes: Sequence[int] | None = None) -> EmbeddingEnsemble:
    """The head whose learners hold the principal directions of the given one's outputs, in order of strength.

    Outputs are weighted as in the score, ``s_m f_m / mean ||f_m||``, and side by side a vector of D dimensions. They
    are turned by the eigenvectors of their second moment, and not centred: their mean is one of the strongest
    directions. Learner m takes the next ``d_m`` dimensions. Its share of the score is its mean square length, to the
    power of 3/4. Learned shares stand in `EmbeddingEnsemble.weighting`.

    Args:
        head: a trained one, which is left as it is.
        features: (n, in_features), of training images.
        sizes: dimensions of the new learners, D together; by default those of the head.

    Raises:
        ConfigError: sizes of another sum.
        DataError: fewer than two images; features with NaN or infinity.
    """
    refuse_unusable(features, "a rotation")
    x = features.detach().cpu().double()
    weight, bias = _scaled(head, x)
    outputs = x @ weight.T + bias
    rotated = EmbeddingEnsemble(head.in_features, sizes or head.sizes, dimensions=sum(head.sizes))
    turn = _turn(outputs.T @ outputs / len(x), rotated.sizes)
    weight, bias, outputs = turn.T @ weight, bias @ turn, outputs @ turn
    squares = torch.stack([z.square().sum(dim=1).mean() for z in rotated.cut(outputs)])
    squares = squares.clamp_min(_LEAST * float(squares.sum()))
    lengths = squares.sqrt().repeat_interleave(torch.tensor(rotated.sizes)).clamp_min(EPSILON)
    rotated.linear.weight.copy_(weight / lengths[:, None])  # outputs of length 1, whatever the learner
    rotated.linear.bias.copy_(bias / lengths)
    shares = squares.pow(STRENGTH)
    rotated.weighting = tuple((shares / shares.sum()).tolist())
    return rotated.to(head.linear.weight)


def _turn(moment: Tensor, sizes: Sequence[int]) -> Tensor:
    """(D, D) orthogonal: for each learner a basis of the next strongest directions, as near to the axes as can be.

    Of fewer pictures than dimensions, many directions have no strength. A ridge orders them, and the nearest basis
    (Procrustes; Schönemann 1966) does not depend on rounding, as eigenvectors of equal values do.
    """
    axes = torch.eye(len(moment), dtype=moment.dtype)
    ridge = _RIDGE * moment.diagonal().mean() * torch.linspace(2, 1, len(moment), dtype=moment.dtype)
    parts = torch.split(eigenvectors(moment + ridge.diag())[1].flip(1), list(sizes), dim=1)
    bases = []
    for part, wanted in zip(parts, torch.split(axes, list(sizes), dim=1), strict=True):
        left, _, right = torch.linalg.svd(part.T @ wanted)
        bases.append(part @ left @ right)
    return torch.cat(bases, dim=1)


def _scaled(head: EmbeddingEnsemble, x: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (D, in_features) and bias (D,) of outputs that are as long as they count in the score, on average."""
    weight, bias = head.linear.weight.detach().cpu().double(), head.linear.bias.detach().cpu().double()
    lengths = torch.stack([f.norm(dim=1).mean() for f in head.cut(x @ weight.T + bias)])
    factors = head.scales().cpu().double() / lengths.clamp_min(EPSILON)
    each = factors.repeat_interleave(torch.tensor(head.sizes))
    return each[:, None] * weight, each * bias
