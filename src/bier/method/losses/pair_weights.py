"""What differs between positive and negative pairs: their weights, or any two values (method, "Pair weights")."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from bier.method.losses.checks import check_two_classes, single_class
from bier.method.losses.relations import same_and_different

LARGE = 2**24
"""From here on float32 skips whole numbers."""


def pair_weights(labels: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Labels (n,) that float32 can hold; and ``1 / sum(y)`` and ``1 / sum(1 - y)`` over ordered pairs.

    The diagonal is counted in the first sum (method, "Pair normalisation"). Relations (n, n) come back as they are, and
    unknown pairs are in neither sum.

    Raises:
        LossError: a batch of one class, or without a pair that is known to differ.
    """
    if labels.ndim == 2:
        check_two_classes(labels)
        same, different = (int(pairs.sum()) for pairs in same_and_different(labels))
        return labels, (1.0 / same, 1.0 / different)
    counts = Counter(labels.tolist())
    if len(counts) < 2:
        raise single_class()
    if max(counts) >= LARGE or min(counts) <= -LARGE:
        labels = torch.unique(labels, return_inverse=True)[1]
    positives = sum([count * count for count in counts.values()])
    return labels, (1.0 / positives, 1.0 / (labels.shape[0] ** 2 - positives))


def choose(y: Tensor, values: tuple[float, float]) -> Tensor | float:
    """The first value where ``y`` is 1, the second where it is 0; a plain number where both are the same."""
    return values[0] if values[0] == values[1] else spread(y, values)


def spread(y: Tensor, values: tuple[float, float]) -> Tensor:
    """The first value where ``y`` is 1, the second where it is 0.

    Arithmetic is several times faster than ``torch.where``, which CPUs do not vectorise for masks.
    """
    return y.mul(values[0] - values[1]).add_(values[1])
