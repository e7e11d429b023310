"""A head that starts from what the backbone knows: learned whitening of its features.

A freshly drawn linear layer is a random projection. It loses some of what pretrained features know, and short training
does not win it back. Learned whitening (Mikolajczyk and Matas, ICCV 2007) is a projection in closed form. It improves
on the features: directions in which images of one class differ count less. docs/results.md has figures.

Without labels, directions in which any images differ count less: whitening by principal components.
"""

from __future__ import annotations

import scipy.linalg
import torch
from torch import Tensor

from bier.errors import DataError
from bier.method.ensemble import EmbeddingEnsemble


@torch.no_grad()
def whiten(
    head: EmbeddingEnsemble,
    features: Tensor,
    labels: Tensor | None,
    *,
    power: float = 0.5,
    shrinkage: float = 0.1,
    seed: int = 0,
) -> None:
    """Set the head's weights and bias, in place, to a learned whitening of features.

    Features are centred, multiplied by ``S^(-power/2)`` with ``S`` the scatter within classes, or without labels the
    scatter of all, and projected on their D principal directions. A random rotation shares these among the learners,
    so each is a smaller copy of the whole.
    Before training, the ensemble's score is close to the cosine of the whole projection.

    Args:
        head: D outputs, fewer or more than features.
        features: (n, in_features), of training images.
        labels: (n,) their classes, or None where nobody knows them.
        power: 0 leaves the features as they are (a principal component analysis), 1 whitens in full. Half is a
            good choice with labels and without (docs/experiments.md).
        shrinkage: share, 0 to 1, of the mean eigenvalue in each eigenvalue of ``S``: directions that few images speak
            of are not blown up.
        seed: of the rotation.

    Raises:
        DataError: fewer than two images; features with NaN or infinity.
    """
    refuse_unusable(features, "whitening", "keep the head's random weights")
    x = features.detach().cpu().double()
    mean = x.mean(dim=0)
    x = x - mean
    scatter = _second_moment(x) if labels is None else _scatter_within(x, labels.cpu())
    metric = _inverse_root(scatter, power, shrinkage)
    dimensions = min(head.linear.out_features, head.in_features)
    directions = eigenvectors(_second_moment(x @ metric))[1].flip(1)[:, :dimensions]
    weight = (metric @ directions @ _frame(dimensions, head.linear.out_features, seed)).T  # (D, in)
    weight /= weight.square().sum(dim=1).mean().sqrt()  # output units of norm 1, as optimisers expect
    head.linear.weight.copy_(weight)
    head.linear.bias.copy_(-weight @ mean)


def refuse_unusable(features: Tensor, what: str, otherwise: str) -> None:
    """Raise DataError unless there are features of two images, all of them finite."""
    if len(features) < 2 or not features.isfinite().all():
        raise DataError(
            f"{what} needs features of at least two images, all of them finite",
            where="features",
            remedy=f"check the pictures and the backbone's weights, or {otherwise}",
        )


def _scatter_within(x: Tensor, labels: Tensor) -> Tensor:
    """(d, d) mean outer product of deviations from the class means."""
    classes, of = labels.unique(return_inverse=True)
    sums = x.new_zeros(len(classes), x.shape[1]).index_add_(0, of, x)
    means = sums / of.bincount(minlength=len(classes))[:, None]
    return _second_moment(x - means[of])


def _second_moment(x: Tensor) -> Tensor:
    return x.T @ x / len(x)


def _inverse_root(scatter: Tensor, power: float, shrinkage: float) -> Tensor:
    """``S^(-power/2)``, symmetric, of a shrunk scatter; the identity where nothing varies."""
    values, vectors = eigenvectors(scatter)
    values = values.clamp_min(0)
    if values.sum() == 0:
        return torch.eye(len(values), dtype=values.dtype)
    values = values.lerp(values.mean(), shrinkage)
    root: Tensor = (vectors * values.pow(-power / 2)) @ vectors.T
    return root


def eigenvectors(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (d,), the smallest first, and eigenvectors (d, d).

    Divide and conquer may fail where many eigenvalues are nearly 0, as of fewer pictures than dimensions. QR does not.
    """
    try:
        values, vectors = torch.linalg.eigh(symmetric)
    except RuntimeError:  # torch.linalg.LinAlgError, which has no types
        values, vectors = map(torch.from_numpy, scipy.linalg.eigh(symmetric.numpy(), driver="ev"))
    return values, vectors


def _frame(rows: int, columns: int, seed: int) -> Tensor:
    """(rows, columns) with orthonormal rows: a random rotation, or where there are more columns, a tight frame."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(columns, rows, generator=generator, dtype=torch.float64)
    orthonormal: Tensor = torch.linalg.qr(drawn).Q
    return orthonormal.T
