"""What a loss knows about the pairs of a batch: labels (n,), or a matrix of relations (n, n).

A matrix says more than labels can. Pictures with several labels share some of them, and of a marked pair only that pair
is known. Losses that declare ``takes_relations`` take both, and labels and the matrix that they stand for are alike.
"""

from __future__ import annotations

from torch import Tensor

SAME, DIFFERENT, UNKNOWN = 1, 0, -1
"""Entries of a matrix of relations. It is symmetric, and its diagonal is SAME. What is UNKNOWN counts for nothing."""


def same_and_different(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs are alike, the diagonal included, and which are not: bool (n, n) each, of labels or relations."""
    if labels.ndim == 1:
        same = labels[:, None] == labels
        return same, ~same
    return labels == SAME, labels == DIFFERENT


def differ_somewhere(labels: Tensor) -> bool:
    """Whether any pair is known to differ, of labels or relations."""
    if labels.ndim == 1:
        return bool((labels != labels[:1]).any())
    return bool((labels == DIFFERENT).any())


def positive_pairs(labels: Tensor) -> Tensor:
    """Pairs of rows (2, P) that are alike, each once, the smaller row first, of relations (n, n)."""
    return (labels == SAME).triu(1).nonzero().T


def unknown_pairs(labels: Tensor) -> Tensor:
    """Pairs of rows (2, P) of which nothing is known, each once, the smaller row first, of relations (n, n)."""
    return (labels == UNKNOWN).triu(1).nonzero().T
