"""Boosting of pair losses, tile by tile: value and gradient in one sweep, memory linear in the batch.

Whether a pair is hard for learner m depends on that pair's own similarities under the learners before m, so a tile of
the similarity matrix can be taken through all learners before the next tile is touched; nothing of shape (n, n)
outlives its tile. The matrix is symmetric, so only tiles on and above the diagonal are visited. Gradients with respect
to the learners' outputs are made in the same sweep (``B_m`` is a constant, so the derivative is local as well).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bier.method.ensemble import EPSILON, boosting_rate, boosting_weights
from bier.method.losses.base import Schedule, refuse_second_derivative
from bier.method.losses.pairs import PairLoss, choose, pair_weights, spread

TILE = 256
"""Rows and columns of a tile: with three learners 0.8 MB in float32, which stays in a core's cache."""

Matrix = tuple[tuple[float, ...], ...]


class PairTrace:
    """What boosting did to each pair: weights ``B_m``, where it has any, and scores after learner m, (M, n, n)."""

    def __init__(self, like: Tensor, learners: int, n: int, reweighted: bool) -> None:
        self.scores = like.new_empty(learners, n, n)
        self.weights = like.new_ones(learners if reweighted else 0, n, n)

    def record(self, rows: slice, columns: slice, scores: Tensor, boosting: Tensor | None) -> None:
        """Keep a tile and its mirror image."""
        for matrices, values in ((self.scores, scores), (self.weights[1:], boosting)):
            if values is not None:
                matrices[:, rows, columns] = values
                matrices[:, columns, rows] = values.mT
        self.weights.diagonal(dim1=1, dim2=2).zero_()


def boost_block(
    loss: PairLoss, schedule: Schedule, shrinkage: float, margin: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Take a block of pairs through the learners (method, "Boosting over learners").

    Args:
        margin: of each learner's similarities, shape (M, ...), overwritten.
        y: 1 for positive pairs and 0 for negative ones, shape (...).

    Returns:
        ``B_m l_m`` and ``-d/da`` of it, shape (M, ...) each; and ``B_2, B_3, ...`` where the schedule has such weights.
    """
    learners = margin.shape[0]
    if schedule == "stagewise":  # the margin of a running average is the running average of margins
        terms, weight = loss.value_and_weight(mix(running_average(learners), margin), y)
        for m, weight_m in enumerate(weight.unbind(), start=1):
            weight_m.mul_(boosting_rate(m))
        return terms, weight, None
    if schedule == "independent" or learners == 1:
        return *loss.value_and_weight(margin, y), None
    if schedule == "additive":  # A_m = A_{m-1} + shrinkage a_m; negatives count twice
        state = mix(running_sum(learners, shrinkage)[:-1], margin).add_(loss.additive_initial)
        boosting = loss.weight(state, y)
        boosting.mul_(torch.rsub(y, 2))
    else:  # convex: A_m = (1 - nu_m) A_{m-1} + nu_m shrinkage S_m, of which this is the margin
        state = mix(running_average(learners)[:-1], margin)
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
def running_sum(learners: int, factor: float) -> Matrix:
    """What each learner counts in ``A_m = A_{m-1} + factor S_m``, in rows m = 1, 2, ..., learners."""
    return tuple((factor,) * m + (0.0,) * (learners - m) for m in range(1, learners + 1))


@functools.lru_cache(maxsize=64)
def running_average(learners: int) -> Matrix:
    """What each learner counts in ``A_m = (1 - nu_m) A_{m-1} + nu_m S_m``, in rows m = 1, 2, ..., learners."""
    return tuple((*boosting_weights(m).tolist(), *(0.0,) * (learners - m)) for m in range(1, learners + 1))


def boost_pairs(
    loss: PairLoss,
    schedule: Schedule,
    shrinkage: float,
    outputs: Sequence[Tensor],
    labels: Tensor,
    *,
    trace: bool = False,
    tile: int = TILE,
) -> tuple[Tensor, Tensor, PairTrace | None]:
    """``(1/M) sum_m sum_ij w_ij B_m,ij l(S_m,ij, y_ij)`` of raw outputs ``f_m`` (n, d_m) and labels (n,).

    Returns:
        the loss, a scalar with its gradient; the M terms of its sum, shape (M,); and, if asked for, the trace.
    """
    sweep = _Sweep(loss, schedule, shrinkage, labels, trace, tile)
    return _BoostPairs.apply(sweep, *outputs), sweep.losses, sweep.trace


class _BoostPairs(torch.autograd.Function):
    """The mean loss as a function of the outputs; their gradients are made on the way forward."""

    @staticmethod
    def forward(ctx: Any, sweep: _Sweep, *outputs: Tensor) -> Tensor:
        ctx.save_for_backward(*sweep.run(outputs))
        return sweep.losses.mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        lengths, *gradients = ctx.saved_tensors
        scales = (grad * (-2 / len(gradients))) / lengths  # 2 for s_ij and s_ji, minus since dl/da = -weight
        return None, *[g * scale for g, scale in zip(gradients, scales.unbind(), strict=True)]


class _Sweep:
    """Takes the tiles of one batch through the learners.

    Attributes:
        losses: (M,), ``sum_ij w_ij B_m,ij l(S_m,ij, y_ij)``.
        trace: where it was asked for.
    """

    def __init__(
        self, loss: PairLoss, schedule: Schedule, shrinkage: float, labels: Tensor, trace: bool, tile: int
    ) -> None:
        self.settings = (loss, schedule, shrinkage)
        self.classes, self.weights = pair_weights(labels)
        self.traced, self.tile = trace, tile

    def run(self, outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Lengths (M, n, 1) and M tensors (n, d_m); -2/M times their quotients are the gradients of the mean loss."""
        first, learners, n = outputs[0], len(outputs), len(self.classes)
        norms, along = first.new_empty(2, learners, n, 1).unbind()
        for f, norm in zip(outputs, norms.unbind(), strict=True):
            torch.linalg.vector_norm(f, dim=1, keepdim=True, out=norm)
        lengths = norms.clamp(min=EPSILON)
        z = [f / length for f, length in zip(outputs, lengths.unbind(), strict=True)]
        # Comparing floats into floats is vectorised, comparing whole numbers is not.
        self.codes = self.blocks(self.classes.to(first.dtype))
        self.z = [self.blocks(z_m) for z_m in z]
        self.sums: list[list[Tensor]] = [[] for _ in z]
        self.losses = first.new_zeros(learners)
        reweighted = self.settings[1] in ("additive", "convex")
        self.trace = PairTrace(first, learners, n, reweighted) if self.traced else None
        for i in range(len(self.codes)):
            for j in range(i, len(self.codes)):
                self.visit(i, j)
        gradients = [torch.cat(sums) if len(sums) > 1 else sums[0] for sums in self.sums]
        # Through the normalisation z = f / max(||f||, epsilon), which is a mere scaling below epsilon
        for g, z_m, along_m in zip(gradients, z, along.squeeze(2).unbind(), strict=True):
            torch.linalg.vecdot(z_m, g, out=along_m)
        along.mul_(norms > EPSILON)
        for g, z_m, along_m in zip(gradients, z, along.unbind(), strict=True):
            g.addcmul_(z_m, along_m, value=-1)
        return lengths, *gradients

    def blocks(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(self.tile) if rows.shape[0] > self.tile else (rows,)

    def visit(self, i: int, j: int) -> None:
        loss = self.settings[0]
        a, b = self.codes[i], self.codes[j]
        y = torch.eq(a.unsqueeze(1), b, out=a.new_empty(a.shape[0], b.shape[0]))
        slope, w = choose(y, loss.slopes), spread(y, self.weights)
        if i == j:
            w.fill_diagonal_(0)
        s = a.new_empty(len(self.z), *y.shape)
        for s_m, z in zip(s.unbind(), self.z, strict=True):
            torch.mm(z[i], z[j].T, out=s_m)
        scores = None if self.trace is None else mix(running_average(len(self.z)), s)
        terms, weight, boosting = boost_block(*self.settings, s.sub_(choose(y, loss.offsets)).mul_(slope), y)
        self.losses.addmv_(terms.view(len(self.z), -1), w.view(-1), alpha=1 if i == j else 2)
        for d, z, sums in zip(weight.mul_(w.mul_(slope)).unbind(), self.z, self.sums, strict=True):
            _add_product(sums, i, d, z[j])
            if i != j:
                _add_product(sums, j, d.T, z[i])
        if self.trace is not None and scores is not None:
            self.trace.record(self.rows(i), self.rows(j), scores, boosting)

    def rows(self, i: int) -> slice:
        return slice(i * self.tile, i * self.tile + self.codes[i].shape[0])


def _add_product(sums: list[Tensor], i: int, d: Tensor, z: Tensor) -> None:
    """``sums[i] += d z``; tiles come in an order in which ``sums`` grows by one."""
    if i == len(sums):
        sums.append(torch.mm(d, z))
    else:
        sums[i].addmm_(d, z)
