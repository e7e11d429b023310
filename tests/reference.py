"""The method written down as slow loops in float64, one pair, triplet or sample at a time: a second reference.

Nothing here comes from the package. Gradients are autograd's, through the loops, with weights and earlier scores as
plain numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Matrix = list[list[float]]
UNBALANCED = [0, 0, 0, 0, 1, 1, 2, 3, 1]
"""Labels of a batch: 4, 3, 1 and 1 images of four classes, in no order."""


def raw_outputs(learners: int, n: int = len(UNBALANCED), seed: int = 0) -> list[Tensor]:
    """Raw outputs of learners of 3, 4, 5, ... dimensions, correlated so that pairs are easy and hard."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    outputs = []
    for m in range(learners):
        mix = torch.randn(8, 3 + m, generator=generator, dtype=torch.float64)
        outputs.append((shared @ mix + 0.8).requires_grad_())
    return outputs


def nu(m: int) -> float:
    """m = 1, 2, ..."""
    return 2 / (m + 1)


def unit(row: Tensor) -> Tensor:
    return row / row.norm() if row.norm().item() > 1e-5 else row / 1e-5


def similarity(f: Tensor) -> list[list[Tensor]]:
    rows = [unit(row) for row in f]
    return [[(a * b).sum() for b in rows] for a in rows]


@dataclass
class Expected:
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    losses: list[float] = field(default_factory=list)
    weights: list[Matrix] = field(default_factory=list)
    scores: list[Matrix] = field(default_factory=list)

    def add(self, value: Tensor, learners: int) -> None:
        self.losses.append(value.item())
        self.loss = self.loss + value / learners


@dataclass(frozen=True)
class Pairwise:
    """A pair loss: ``term(s, positive)``, and the margin ``slope (s - offset)`` for positives and for negatives."""

    term: Callable[[Tensor, bool], Tensor]
    slope: tuple[float, float]
    offset: tuple[float, float]
    initial: float = 0.0

    def margin(self, s: float, positive: bool) -> float:
        kind = 0 if positive else 1
        return self.slope[kind] * (s - self.offset[kind])

    def weight(self, margin: float, positive: bool) -> float:
        """-dl/da"""
        kind = 0 if positive else 1
        a = torch.tensor(margin, dtype=torch.float64, requires_grad=True)
        (derivative,) = torch.autograd.grad(self.term(a / self.slope[kind] + self.offset[kind], positive), a)
        return -derivative.item()


def zeros(n: int) -> Matrix:
    return [[0.0] * n for _ in range(n)]


def boost_pairs(
    base: Pairwise, outputs: list[Tensor], labels: list[int], schedule: str, shrinkage: float = 1.0
) -> Expected:
    n, found = len(labels), Expected()
    same = [[a == b for b in labels] for a in labels]
    positives = sum(map(sum, same))  # the diagonal is counted
    pair_weight = [[1 / positives if y else 1 / (n * n - positives) for y in row] for row in same]
    boosting = [[float(i != j) for j in range(n)] for i in range(n)]
    state = [[base.initial if schedule == "additive" else 0.0] * n for _ in range(n)]
    average = zeros(n)
    for m, f in enumerate(outputs, start=1):
        s = similarity(f)
        value = torch.zeros((), dtype=torch.float64)
        following = zeros(n)
        for i in range(n):
            for j in range(n):
                average[i][j] = (1 - nu(m)) * average[i][j] + nu(m) * s[i][j].item()
                if i == j:
                    continue
                y, score = same[i][j], s[i][j]
                if schedule == "stagewise":
                    score = (1 - nu(m)) * state[i][j] + nu(m) * score
                value = value + pair_weight[i][j] * boosting[i][j] * base.term(score, y)
                if schedule == "stagewise":
                    state[i][j], following[i][j] = score.item(), 1.0
                elif schedule == "independent":
                    following[i][j] = 1.0
                elif schedule == "additive":
                    state[i][j] += shrinkage * base.margin(score.item(), y)
                    following[i][j] = base.weight(state[i][j], y) * (1 if y else 2)
                else:
                    state[i][j] = (1 - nu(m)) * state[i][j] + nu(m) * shrinkage * score.item()
                    following[i][j] = base.weight(base.margin(state[i][j], y), y)
        found.add(value, len(outputs))
        found.weights.append(boosting)
        found.scores.append([list(row) for row in average])
        boosting = following
    return found


def boost_triplets(
    outputs: list[Tensor], labels: list[int], schedule: str, shrinkage: float, margin: float, semihard: bool
) -> Expected:
    n, found = len(labels), Expected()
    state, average = zeros(n), zeros(n)
    triplets = [
        (a, p, q)
        for a in range(n)
        for p in range(n)
        for q in range(n)
        if a != p and labels[a] == labels[p] and labels[a] != labels[q]
    ]
    for m, f in enumerate(outputs, start=1):
        s = similarity(f)
        average = [[(1 - nu(m)) * average[i][j] + nu(m) * s[i][j].item() for j in range(n)] for i in range(n)]
        if schedule == "stagewise":
            s = [[(1 - nu(m)) * state[i][j] + nu(m) * s[i][j] for j in range(n)] for i in range(n)]
        value, mined, weights = torch.zeros((), dtype=torch.float64), 0, zeros(n)
        for a, p, q in triplets:
            reweighted = m > 1 and schedule in ("additive", "convex")
            weight = float(state[a][q] - state[a][p] + margin > 0) if reweighted else 1.0
            weights[a][q] += weight / (labels.count(labels[a]) - 1)
            if semihard and not s[a][p].item() - margin < s[a][q].item() < s[a][p].item():
                continue
            mined += 1
            value = value + weight * torch.relu(s[a][q] - s[a][p] + margin)
        found.add(value / max(mined, 1), len(outputs))
        found.weights.append(weights)
        found.scores.append(average)
        state = next_scores(state, s, schedule, shrinkage, m)
    return found


def next_scores(state: Matrix, s: list[list[Tensor]], schedule: str, shrinkage: float, m: int) -> Matrix:
    """``A_m`` of ``A_{m-1}`` and ``S_m``, for losses whose margins are the scores themselves."""
    mix = {
        "additive": lambda a, b: a + shrinkage * b,
        "convex": lambda a, b: (1 - nu(m)) * a + nu(m) * shrinkage * b,
        "stagewise": lambda a, b: b,  # s is the mixture already
        "independent": lambda a, b: 0.0,
    }[schedule]
    return [[mix(a, b.item()) for a, b in zip(*rows, strict=True)] for rows in zip(state, s, strict=True)]


def boost_softmax(
    outputs: list[Tensor],
    proxies: list[Tensor],
    labels: list[int],
    schedule: str,
    shrinkage: float = 1.0,
    temperature: float = 0.05,
) -> Expected:
    """Weights are one row: one for a sample."""
    n, classes, found = len(labels), len(proxies[0]), Expected()
    state = [[0.0] * classes for _ in range(n)]
    average = [[0.0] * classes for _ in range(n)]

    def miss(scores: list[float], label: int) -> float:
        exponentials = [math.exp(score / temperature) for score in scores]
        return 1 - exponentials[label] / sum(exponentials)

    for m, (f, proxy) in enumerate(zip(outputs, proxies, strict=True), start=1):
        centres = [unit(p) for p in proxy]
        s = [[(unit(row) * c).sum() for c in centres] for row in f]
        rows = zip(average, s, strict=True)
        average = [[(1 - nu(m)) * a + nu(m) * b.item() for a, b in zip(*row, strict=True)] for row in rows]
        if schedule == "stagewise":
            s = [[(1 - nu(m)) * a + nu(m) * b for a, b in zip(*r, strict=True)] for r in zip(state, s, strict=True)]
        value, weights = torch.zeros((), dtype=torch.float64), []
        for i, label in enumerate(labels):
            reweighted = m > 1 and schedule in ("additive", "convex")
            weights.append(miss(state[i], label) if reweighted else 1.0)
            total = sum(torch.exp(score / temperature) for score in s[i])
            value = value - weights[i] * torch.log(torch.exp(s[i][label] / temperature) / total)
        found.add(value / n, len(outputs))
        found.weights.append([weights])
        found.scores.append([list(row) for row in average])
        state = next_scores(state, s, schedule, shrinkage, m)
    return found


def assert_agrees(boost: Any, expected: Expected, outputs: list[Tensor], labels: list[int], *others: Tensor) -> None:
    """Loss, gradients (of ``others`` as well), losses, scores, and weights where there are any, to 1e-9 relative."""
    close = functools.partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)
    inputs = [*outputs, *others]
    value = boost(outputs, torch.tensor(labels), trace=True)
    close(value, expected.loss)
    close(torch.autograd.grad(value, inputs), torch.autograd.grad(expected.loss, inputs))
    close(boost.last.losses.tolist(), expected.losses)
    close([s.tolist() for s in boost.last.scores], expected.scores)
    if boost.schedule in ("additive", "convex"):
        close([w.view(-1, len(labels)).tolist() for w in boost.last.weights], expected.weights)
    elif boost.schedule == "independent":
        assert len(boost.last.weights) == 0


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation returned while it was active."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out
