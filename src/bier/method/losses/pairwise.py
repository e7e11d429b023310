"""Boosting of pair losses, tile by tile, in memory linear in the batch (method, "Memory").

What a pair weighs for learner m depends on that pair's own similarities under the learners before m. So a tile of the
similarity matrix goes through all learners before the next tile is touched. Nothing of shape (n, n) outlives its tile.
The matrix is symmetric: only tiles on and above the diagonal are visited. ``B_m`` is a constant, so gradients are made
in the same sweep.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from bier.method.ensemble import EPSILON, boosting_rate, boosting_weights
from bier.method.losses.base import Boosted, Schedule
from bier.method.losses.gradients import refuse_second_derivative
from bier.method.losses.pair_weights import choose, pair_weights, spread
from bier.method.losses.relations import SAME, UNKNOWN, same_and_different

TILE = 256
"""Rows and columns of a tile: with three learners 0.8 MB in float32, which stays in a core's cache."""

Matrix = tuple[tuple[float, ...], ...]


class PairTerms(Protocol):
    """What the sweep asks of a loss of pairs; :class:`bier.losses.PairLoss` says what each means."""

    additive_initial: ClassVar[float]
    slopes: tuple[float, float]
    offsets: tuple[float, float]

    def value_and_weight(self, margin: Tensor, y: Tensor) -> tuple[Tensor, Tensor]: ...
    def weight(self, margin: Tensor, y: Tensor) -> Tensor: ...


def boost_block(
    loss: PairTerms, schedule: Schedule, shrinkage: float, margin: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Take a block of pairs through the learners (method, "Boosting over learners").

    Args:
        loss: gives terms and weights.
        schedule: how margins accumulate.
        shrinkage: factor on what each learner adds.
        margin: of each learner's similarities, shape (M, ...), overwritten.
        y: 1 for positive pairs and 0 for negative ones, shape (...).

    Returns:
        ``B_m l_m`` and ``-d/da`` of it, shape (M, ...) each; and ``B_2, B_3, ...`` where the schedule has such weights.
    """
    learners = margin.shape[0]
    if schedule == "stagewise":  # the margin of a running average is the running average of margins
        terms, weight = loss.value_and_weight(mix(average_factors(learners), margin), y)
        for m, weight_m in enumerate(weight.unbind(), start=1):
            weight_m.mul_(boosting_rate(m))
        return terms, weight, None
    if schedule == "independent" or learners == 1:
        return *loss.value_and_weight(margin, y), None
    if schedule == "additive":  # A_m = A_{m-1} + shrinkage a_m; negatives count twice
        state = mix(sum_factors(learners, shrinkage)[:-1], margin).add_(loss.additive_initial)
        boosting = loss.weight(state, y)
        boosting.mul_(torch.rsub(y, 2))
    else:  # convex: A_m = (1 - nu_m) A_{m-1} + nu_m shrinkage S_m, of which this is the margin
        state = mix(average_factors(learners)[:-1], margin)
        if shrinkage != 1:
            at_zero = choose(y, loss.slopes) * choose(y, loss.offsets)
            state.mul_(shrinkage).sub_((1 - shrinkage) * at_zero)
        boosting = loss.weight(state, y)
    terms, weight = loss.value_and_weight(margin, y)
    terms[1:].mul_(boosting)
    weight[1:].mul_(boosting)
    return terms, weight, boosting


def mix(rows: Matrix, values: Tensor) -> Tensor:
    """For each row of M factors, the sum of M values times their factors: (rows, ...) of values (M, ...)."""
    mixed = torch.mm(constant(rows, values.dtype, values.device), values.view(values.shape[0], -1))
    return mixed.view(-1, *values.shape[1:])


@functools.lru_cache(maxsize=64)
def constant(rows: Matrix, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A small matrix that many batches need; making it takes longer than using it."""
    return torch.tensor(rows, dtype=dtype, device=device)


@functools.lru_cache(maxsize=64)
def sum_factors(learners: int, factor: float) -> Matrix:
    """What each learner counts in ``A_m = A_{m-1} + factor S_m``, in rows m = 1, 2, ..., learners."""
    return tuple((factor,) * m + (0.0,) * (learners - m) for m in range(1, learners + 1))


@functools.lru_cache(maxsize=64)
def average_factors(learners: int) -> Matrix:
    """What each learner counts in ``A_m = (1 - nu_m) A_{m-1} + nu_m S_m``, in rows m = 1, 2, ..., learners."""
    return tuple((*boosting_weights(m).tolist(), *(0.0,) * (learners - m)) for m in range(1, learners + 1))


def weights_at(loss: PairTerms, scores: Tensor, labels: Tensor) -> Tensor:
    """``-dl/da`` at scores (M, n, n), the diagonals and unknown pairs 0: how much each pair still pulls there."""
    same, different = same_and_different(labels)
    y = same.to(scores)
    weights = loss.weight((scores - choose(y, loss.offsets)) * choose(y, loss.slopes), y)
    weights.mul_(same | different)
    weights.diagonal(dim1=1, dim2=2).zero_()
    return weights


def boost_pairs(
    loss: PairTerms,
    outputs: Sequence[Tensor],
    labels: Tensor,
    *,
    schedule: Schedule,
    shrinkage: float,
    trace: bool = False,
    tile: int = TILE,
) -> Boosted:
    """``(1/M) sum_m sum_ij w_ij B_m,ij l(S_m,ij, y_ij)`` of raw outputs ``f_m`` (n, d_m) and labels (n,).

    Raises:
        LossError: a batch of one class.
    """
    sweep = Sweep(loss, schedule, shrinkage, len(outputs), outputs[0], labels, trace=trace, tile=tile)
    value = mean_loss(sweep, outputs)
    if sweep.trace is None:
        return Boosted(value, sweep.losses)
    scores, weights = sweep.trace.scores, sweep.trace.weights
    if schedule == "stagewise":
        weights = weights_at(loss, scores, labels)
    return Boosted(value, sweep.losses, tuple(weights), tuple(scores))


class SweepOfTiles(Protocol):
    """What takes the tiles of one batch through the learners."""

    losses: Tensor
    """(M,), after the run."""

    def run(self, z: Sequence[Tensor]) -> list[Tensor]:
        """Visit every tile of normalised outputs, M tensors (n, d_m).

        Returns:
            M tensors (n, d_m). -2/M times them are the gradients of the mean loss in z.
        """


def mean_loss(sweep: SweepOfTiles, outputs: Sequence[Tensor]) -> Tensor:
    """The mean over learners, a scalar, of raw outputs ``f_m`` (n, d_m)."""
    return _MeanLoss.apply(sweep, *outputs)  # type: ignore[no-any-return]


class _MeanLoss(torch.autograd.Function):
    """The mean loss as a function of the outputs. Its gradients are made on the way forward."""

    @staticmethod
    def forward(ctx: Any, sweep: SweepOfTiles, *outputs: Tensor) -> Tensor:
        z = Normalized(outputs)
        ctx.save_for_backward(z.lengths, *z.backward(sweep.run(z.z)))
        return sweep.losses.mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        lengths, *gradients = ctx.saved_tensors
        scales = (grad * (-2 / len(gradients))) / lengths  # 2 for s_ij and s_ji, minus since dl/da = -weight
        return None, *[g * scale for g, scale in zip(gradients, scales.unbind(), strict=True)]


class Normalized:
    """``z = f / max(||f||, epsilon)`` of the learners' outputs, with its backward pass.

    Attributes:
        lengths: (M, n, 1), ``max(||f||, epsilon)``.
        z: M tensors (n, d_m).
    """

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        self.norms, self.along = outputs[0].new_empty(2, len(outputs), outputs[0].shape[0], 1).unbind()
        for f, norm in zip(outputs, self.norms.unbind(), strict=True):
            torch.linalg.vector_norm(f, dim=1, keepdim=True, out=norm)
        self.lengths = self.norms.clamp(min=EPSILON)
        self.z = [f / length for f, length in zip(outputs, self.lengths.unbind(), strict=True)]

    def backward(self, gradients: list[Tensor]) -> list[Tensor]:
        """Gradients in f, times the lengths, of gradients in z (n, d_m), which are overwritten."""
        along = self.along
        for g, z, along_m in zip(gradients, self.z, along.squeeze(2).unbind(), strict=True):
            torch.linalg.vecdot(z, g, out=along_m)
        along.mul_(self.norms > EPSILON)  # below, the normalisation is a mere scaling
        for g, z, along_m in zip(gradients, self.z, along.unbind(), strict=True):
            g.addcmul_(z, along_m, value=-1)
        return gradients


class PairTrace:
    """What boosting did to each pair: weights ``B_m``, where it has any, and scores after learner m, (M, n, n)."""

    def __init__(self, like: Tensor, learners: int, n: int, tile: int, reweighted: bool) -> None:
        self.tile = tile
        self.scores = like.new_empty(learners, n, n)
        self.weights = like.new_ones(learners if reweighted else 0, n, n)

    def record(self, i: int, j: int, scores: Tensor, boosting: Tensor | None) -> None:
        """Keep tile (i, j) and its mirror image."""
        rows, columns = (slice(k * self.tile, (k + 1) * self.tile) for k in (i, j))
        for matrices, values in ((self.scores, scores), (self.weights[1:], boosting)):
            if values is not None:
                matrices[:, rows, columns] = values
                matrices[:, columns, rows] = values.mT
        self.weights.diagonal(dim1=1, dim2=2).zero_()


class Sweep:
    """Takes the tiles of one batch through the learners.

    Attributes:
        losses: (M,), after the run: ``sum_ij w_ij B_m,ij l(S_m,ij, y_ij)``.
        trace: where it was asked for.
    """

    def __init__(
        self,
        loss: PairTerms,
        schedule: Schedule,
        shrinkage: float,
        learners: int,
        like: Tensor,
        labels: Tensor,
        *,
        trace: bool,
        tile: int,
    ) -> None:
        self.loss, self.schedule, self.shrinkage, self.tile = loss, schedule, shrinkage, tile
        known, self.weights = pair_weights(labels)
        # Comparing floats into floats is vectorised, comparing whole numbers is not.
        self.known = blocks(known.to(like.dtype), tile)
        self.losses = like.new_zeros(learners)
        reweighted = schedule in ("additive", "convex")
        self.trace = PairTrace(like, learners, len(labels), tile, reweighted) if trace else None

    def run(self, z: Sequence[Tensor]) -> list[Tensor]:
        """Visit every tile of normalised outputs, M tensors (n, d_m).

        Returns:
            M tensors (n, d_m). -2/M times them are the gradients of the mean loss in z.
        """
        rows = [blocks(z_m, self.tile) for z_m in z]
        sums: list[list[Tensor]] = [[] for _ in z]
        for i in range(len(self.known)):
            for j in range(i, len(self.known)):
                add_products(sums, i, j, self.visit(i, j, rows), rows)
        return [torch.cat(sums_m) if len(sums_m) > 1 else sums_m[0] for sums_m in sums]

    def visit(self, i: int, j: int, z: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
        """Take tile (i, j) through all learners: ``w_ij B_m,ij dl/ds`` of each, up to a factor of -1."""
        loss, (y, w) = self.loss, self.pairs(i, j)
        slope = choose(y, loss.slopes)
        if i == j:
            w.fill_diagonal_(0)
        s = y.new_empty(len(z), *y.shape)
        for s_m, z_m in zip(s.unbind(), z, strict=True):
            torch.mm(z_m[i], z_m[j].T, out=s_m)
        scores = None if self.trace is None else mix(average_factors(len(z)), s)
        margin = s.sub_(choose(y, loss.offsets)).mul_(slope)
        terms, weight, boosting = boost_block(loss, self.schedule, self.shrinkage, margin, y)
        if self.trace is not None and scores is not None:
            self.trace.record(i, j, scores, boosting)
        self.losses.addmv_(terms.view(len(z), -1), w.view(-1), alpha=1 if i == j else 2)
        return weight.mul_(w.mul_(slope)).unbind()

    def pairs(self, i: int, j: int) -> tuple[Tensor, Tensor]:
        """``y_ij`` and ``w_ij`` of tile (i, j), where unknown pairs weigh nothing."""
        a, b = self.known[i], self.known[j]
        if a.ndim == 1:
            y = torch.eq(a.unsqueeze(1), b, out=a.new_empty(a.shape[0], b.shape[0]))
            return y, spread(y, self.weights)
        relations = a[:, j * self.tile : (j + 1) * self.tile]
        y = torch.eq(relations, SAME, out=torch.empty_like(relations))
        return y, spread(y, self.weights).mul_(relations != UNKNOWN)


def blocks(rows: Tensor, tile: int) -> tuple[Tensor, ...]:
    """Rows in blocks of a tile's height."""
    return rows.split(tile) if rows.shape[0] > tile else (rows,)


def add_products(
    sums: Sequence[list[Tensor]], i: int, j: int, tiles: Sequence[Tensor], z: Sequence[Sequence[Tensor]]
) -> None:
    """For each learner the products of a tile, and of its mirror image, with the rows of z."""
    for sums_m, d, z_m in zip(sums, tiles, z, strict=True):
        _add_product(sums_m, i, d, z_m[j])
        if i != j:
            _add_product(sums_m, j, d.T, z_m[i])


def _add_product(sums: list[Tensor], i: int, d: Tensor, z: Tensor) -> None:
    """``sums[i] += d z``; tiles come in an order in which ``sums`` grows by one."""
    if i == len(sums):
        sums.append(torch.mm(d, z))
    else:
        sums[i].addmm_(d, z)
