"""The ensemble: one linear layer, cut into learners, and the one vector they make together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bier.errors import ConfigError, nearest

EPSILON = 1e-5
"""Smallest norm by which a raw output is divided (method: ``z = f / max(||f||, 1e-5)``)."""

PUBLISHED_SIZES = {"bier-512": (96, 160, 256), "bier-1024": (170, 342, 512)}
"""The authors' cuts of a 512- and a 1024-dimensional embedding, by name."""

Rule = Literal["boosting", "size", "equal"]
Weighting = Rule | tuple[float, ...]
"""A rule, or the share of each learner in the score."""


def learner_sizes(dimensions: int, learners: int) -> tuple[int, ...]:
    """Cut ``dimensions`` in proportion 1 : 2 : ... : M, the proportion of the boosting weights.

    >>> learner_sizes(512, 3)
    (85, 171, 256)
    """
    if learners < 1 or dimensions < learners * (learners + 1) // 2:
        raise ConfigError(
            f"cannot cut {dimensions} dimensions into {learners} learners",
            where="dimensions, learners",
            remedy=f"give at least one learner and {max(1, learners * (learners + 1) // 2)} dimensions",
        )
    shares = [dimensions * weight for weight in boosting_weights(learners).tolist()]
    sizes = [int(share) for share in shares]
    by_remainder = sorted(range(learners), key=lambda m: (sizes[m] - shares[m], -m))
    for m in by_remainder[: dimensions - sum(sizes)]:
        sizes[m] += 1
    return tuple(sizes)


def boosting_rate(m: int) -> float:
    """``nu_m = 2 / (m + 1)`` for m = 1, 2, ...: the step that boosting takes towards learner m."""
    return 2.0 / (m + 1)


def boosting_weights(learners: int) -> Tensor:
    """``alpha_m = nu_m prod_{k>m} (1 - nu_k) = 2m / (M (M + 1))``, shape (M,), float64, sum 1."""
    return torch.arange(1, learners + 1, dtype=torch.float64) * (2.0 / (learners * (learners + 1)))


def normalize(outputs: Tensor) -> Tensor:
    """``z = f / max(||f||, 1e-5)`` along the last axis."""
    return F.normalize(outputs, dim=-1, eps=EPSILON)


class EmbeddingEnsemble(nn.Module):
    """A linear layer whose outputs are M learners; at test time a plain embedding of D = sum(sizes) dimensions.

    Args:
        in_features: dimensions of the backbone's features.
        sizes: dimensions of each learner in the order of boosting; or ``"bier-512"``, ``"bier-1024"`` for the
            published cuts; or ``None`` to cut ``dimensions`` (512 by default) into ``learners`` (3 by default).
        dimensions: D. Given beside ``sizes``, it must be their sum.
        learners: M, when ``sizes`` is not given.
        weighting: how learners count in the retrieval vector. ``"boosting"``: ``s_m = sqrt(alpha_m)``, so that the
            dot product of two vectors is the boosted score and every vector has length 1. ``"size"``:
            ``s_m = d_m / D``, as the authors' released program. ``"equal"``: ``s_m = sqrt(1 / M)``. Or the share
            ``alpha_m`` of each learner in the score: ``s_m = sqrt(alpha_m / sum alpha)``.

    Raises:
        ConfigError: sizes that are not positive whole numbers or do not sum to ``dimensions``; an unknown name; shares
            that are not positive, or not one for each learner.
    """

    def __init__(
        self,
        in_features: int,
        sizes: Sequence[int] | str | None = None,
        *,
        dimensions: int | None = None,
        learners: int | None = None,
        weighting: Rule | Sequence[float] = "boosting",
    ) -> None:
        super().__init__()
        self.sizes = _resolve_sizes(sizes, dimensions, learners)
        self.weighting: Weighting = _resolve_weighting(weighting, len(self.sizes))
        self.linear = nn.Linear(in_features, sum(self.sizes))
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def in_features(self) -> int:
        return self.linear.in_features

    @property
    def described_weighting(self) -> Rule | list[float]:
        """How files describe the weighting: by its name, or as shares that sum to 1."""
        if isinstance(self.weighting, tuple):
            return [share / sum(self.weighting) for share in self.weighting]
        return self.weighting

    def in_float64(self) -> tuple[Tensor, Tensor]:
        """Copies of the layer's weight (D, in_features) and bias (D,), for algebra."""
        return self.linear.weight.detach().cpu().double(), self.linear.bias.detach().cpu().double()

    def learners(self, features: Tensor) -> tuple[Tensor, ...]:
        """Raw outputs ``f_m``, shapes (n, d_m), of features (n, in_features)."""
        return self.cut(self.linear(features))

    def cut(self, values: Tensor, dim: int = -1) -> tuple[Tensor, ...]:
        """What belongs to each learner, of values with D entries along ``dim``."""
        return torch.split(values, list(self.sizes), dim)

    def scales(self, learners: int | None = None) -> Tensor:
        """``s_m`` of the first ``learners`` (all by default), shape (M,): what each ``z_m`` is multiplied by."""
        sizes = self.sizes[:learners]
        if isinstance(self.weighting, tuple):
            shares = torch.tensor(self.weighting[: len(sizes)], dtype=torch.float64)
            scales = (shares / shares.sum()).sqrt()
        elif self.weighting == "boosting":
            scales = boosting_weights(len(sizes)).sqrt()
        elif self.weighting == "size":
            scales = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
        else:
            scales = torch.full((len(sizes),), len(sizes) ** -0.5, dtype=torch.float64)
        return scales.to(self.linear.weight)

    def combine(self, outputs: Sequence[Tensor]) -> Tensor:
        """``[s_1 z_1, ..., s_m z_m]``, shape (n, d_1 + ... + d_m), of the raw outputs of the first m learners."""
        scales = self.scales(len(outputs))
        return torch.cat([scale * normalize(f) for scale, f in zip(scales, outputs, strict=True)], dim=-1)

    def forward(self, features: Tensor, learners: int | None = None) -> Tensor:
        """The retrieval vector, shape (n, D), or that of the first ``learners`` alone, a smaller embedding."""
        if learners is not None:
            self._check_prefix(learners)
        return self.combine(self.learners(features)[:learners])

    def prefix(self, learners: int) -> EmbeddingEnsemble:
        """The first ``learners`` as an ensemble of their own, with copied parameters."""
        self._check_prefix(learners)
        weighting = self.weighting[:learners] if isinstance(self.weighting, tuple) else self.weighting
        smaller = EmbeddingEnsemble(self.in_features, self.sizes[:learners], weighting=weighting)
        smaller.to(self.linear.weight)
        with torch.no_grad():
            smaller.linear.weight.copy_(self.linear.weight[: sum(smaller.sizes)])
            smaller.linear.bias.copy_(self.linear.bias[: sum(smaller.sizes)])
        return smaller

    def _check_prefix(self, learners: int) -> None:
        if not 1 <= learners <= len(self.sizes):
            raise ConfigError(
                f"no prefix of {learners} learners", remedy=f"choose 1 to {len(self.sizes)}, this ensemble's learners"
            )

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}, weighting={self.weighting!r}"


def select_learners(
    vectors: Tensor, sizes: Sequence[int], scales: Sequence[float], learners: Sequence[int], weights: Sequence[float]
) -> Tensor:
    """Queries that make whole stored vectors answer with the score of some learners only.

    A stored vector is ``[s_1 z_1, ..., s_M z_M]``. With ``(w_m / s_m) z_m`` for the chosen learners and 0 for the
    others, a query's dot product with it is ``sum w_m S_m``: nothing has to be stored twice.

    Args:
        vectors: (q, D) retrieval vectors of the queries.
        sizes: (M,) dimensions of each learner.
        scales: (M,) ``s_m``.
        learners: the chosen ones, from 0.
        weights: ``w_m`` of each of them in the score.
    """
    factors = torch.zeros(len(sizes), dtype=vectors.dtype, device=vectors.device)
    for m, weight in zip(learners, weights, strict=True):
        factors[m] = weight / scales[m] ** 2
    return vectors * factors.repeat_interleave(torch.tensor(sizes, device=vectors.device))


def _resolve_weighting(weighting: str | Sequence[float], learners: int) -> Weighting:
    if isinstance(weighting, str):
        if weighting not in get_args(Rule):
            raise ConfigError(
                f"unknown weighting {weighting!r}", where="weighting", remedy=nearest(weighting, get_args(Rule))
            )
        return weighting  # type: ignore[return-value]
    if len(weighting) != learners or not all(0 < share < math.inf for share in weighting):
        raise ConfigError(
            f"the shares {list(weighting)} are not a positive number for each of {learners} learners",
            where="weighting",
            remedy=f"give {learners} positive numbers, or one of {', '.join(get_args(Rule))}",
        )
    return tuple(weighting)


def _resolve_sizes(sizes: Sequence[int] | str | None, dimensions: int | None, learners: int | None) -> tuple[int, ...]:
    if sizes is None:
        return learner_sizes(512 if dimensions is None else dimensions, 3 if learners is None else learners)
    if isinstance(sizes, str):
        if sizes not in PUBLISHED_SIZES:
            raise ConfigError(f"unknown cut {sizes!r}", where="sizes", remedy=nearest(sizes, PUBLISHED_SIZES))
        sizes = PUBLISHED_SIZES[sizes]
    if not sizes or any(not isinstance(d, int) or d < 1 for d in sizes):
        raise ConfigError(
            f"sizes {list(sizes)} are not positive whole numbers",
            where="sizes",
            remedy="give the dimensions of each learner, for example 96, 160, 256",
        )
    if dimensions is not None and sum(sizes) != dimensions:
        raise ConfigError(
            f"sizes {list(sizes)} sum to {sum(sizes)}, not to the {dimensions} dimensions asked for",
            where="sizes",
            remedy=f"leave dimensions out, or set it to {sum(sizes)}",
        )
    if learners is not None and len(sizes) != learners:
        raise ConfigError(
            f"{len(sizes)} sizes for {learners} learners",
            where="sizes",
            remedy=f"leave learners out, or set it to {len(sizes)}",
        )
    return tuple(sizes)
