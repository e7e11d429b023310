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
"""Share of the mean strength of a direction that is added to each, and twice as much to the first."""
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
    refuse_unusable(features, "a rotation", "keep the head as it is")
    weight, bias = head.in_float64()
    outputs = features.detach().cpu().double() @ weight.T + bias
    factors = _factors(head, outputs)
    turn = _directions(outputs * factors)
    weight, bias, outputs = turn.T @ (factors[:, None] * weight), (factors * bias) @ turn, (outputs * factors) @ turn
    rotated = EmbeddingEnsemble(head.in_features, sizes or head.sizes, dimensions=sum(head.sizes))
    squares = torch.stack([z.square().sum(dim=1).mean() for z in rotated.cut(outputs)])
    squares = squares.clamp_min(_LEAST * float(squares.sum()))
    lengths = squares.sqrt().repeat_interleave(torch.tensor(rotated.sizes)).clamp_min(EPSILON)
    rotated.linear.weight.copy_(weight / lengths[:, None])  # outputs of length 1, whatever the learner
    rotated.linear.bias.copy_(bias / lengths)
    shares = squares.pow(STRENGTH)
    rotated.weighting = tuple((shares / shares.sum()).tolist())
    return rotated.to(head.linear.weight)


def _factors(head: EmbeddingEnsemble, outputs: Tensor) -> Tensor:
    """(D,) that make raw outputs (n, D) as long as they count in the score, on average."""
    lengths = torch.stack([f.norm(dim=1).mean() for f in head.cut(outputs)]).clamp_min(EPSILON)
    return (head.scales().cpu().double() / lengths).repeat_interleave(torch.tensor(head.sizes))


def _directions(outputs: Tensor) -> Tensor:
    """(D, D) orthonormal columns, the strongest direction of outputs (n, D) first.

    Of fewer pictures than dimensions, many directions have no strength. A ridge orders them, or rounding would.
    """
    moment = outputs.T @ outputs / len(outputs)
    ridge = _RIDGE * moment.diagonal().mean() * torch.linspace(2, 1, len(moment), dtype=moment.dtype)
    return eigenvectors(moment + ridge.diag())[1].flip(1)
