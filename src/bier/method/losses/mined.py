"""Boosting of the multi-similarity loss, tile by tile, in memory linear in the batch.

An anchor needs its hardest pairs before it can choose among the others, and the sum over the chosen ones before any of
them has a gradient. So the tiles are visited twice: once for hardest pairs and sums, once for gradients. Similarity is
symmetric, so tiles on and above the diagonal are enough. Mining is not: a pair may count for one of its pictures alone.

Positive pairs are few, and are kept in a list. A tile holds ``exp(beta s)`` of its negative pairs, and 0 elsewhere.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from bier.method.ensemble import boosting_rate
from bier.method.losses.base import Schedule
from bier.method.losses.pairwise import TILE, add_products, average_factors, blocks
from bier.method.losses.relations import positive_pairs, unknown_pairs

KEPT = 2**21
"""How many numbers of the first visit are kept for the second: 8 MB in float32."""

LARGEST_EXPONENT = 75.0
"""Sums of larger exponentials, or of smaller negative ones, would come near the limits of float32."""

Tile = tuple[int, int]


class ListedPairs:
    """Some pairs of a batch of n, each once, in order of the tile that holds them.

    Args:
        pairs: two rows of each, (2, P).
        n: pictures of the batch.
        tile: rows and columns of a tile.
        device: where the indices are wanted.

    Attributes:
        count: P.
        anchors: (2 P,), the first rows of all pairs, then the second ones; the tile (i, j) has the first ones in i.
        spans: which of the pairs each tile holds, where it holds any.
        places: where they are in a tile whose rows are laid end to end, (P,) and, in tiles on the diagonal, mirrored.
    """

    def __init__(self, pairs: np.ndarray, n: int, tile: int, device: torch.device) -> None:
        self.count = pairs.shape[1]
        self.spans: dict[Tile, slice] = {}
        if n <= tile:
            self.spans[0, 0] = slice(0, self.count)
        else:
            pairs = self._by_tile(np.sort(pairs, axis=0), tile)
        i, j = pairs % tile if n > tile else pairs
        width = np.minimum(n - pairs[1] // tile * tile, tile) if n > tile else n
        self.anchors = torch.from_numpy(pairs.reshape(-1)).to(device)
        self.places = torch.from_numpy(np.stack([i * width + j, j * width + i])).to(device)

    def _by_tile(self, pairs: np.ndarray, tile: int) -> np.ndarray:
        """The pairs in order of their tiles, whose spans are noted."""
        pairs = pairs[:, np.lexsort(pairs[::-1] // tile)]
        tiles, starts = np.unique(pairs // tile, axis=1, return_index=True)
        edges = [*starts.tolist(), self.count]
        for k, (i, j) in enumerate(tiles.T.tolist()):
            self.spans[i, j] = slice(edges[k], edges[k + 1])
        return pairs

    def within(self, tile: Tile) -> tuple[slice, Sequence[Tensor]]:
        """Which pairs a tile holds, and where."""
        span = self.spans.get(tile, slice(0, 0))
        places = self.places[:, span].unbind()
        return span, places if tile[0] == tile[1] else places[:1]


def pairs_of_one_class(labels: Tensor) -> np.ndarray:
    """The positive pairs (2, P), each once, of labels (n,) or relations (n, n)."""
    if labels.ndim == 2:
        return positive_pairs(labels).cpu().numpy()
    codes, n = labels.cpu().numpy(), len(labels)
    order = np.argsort(codes, kind="stable")
    ranks, ranked = np.arange(n), codes[order]
    later = np.searchsorted(ranked, ranked, side="right") - ranks - 1  # how many of its class follow a row
    first = np.repeat(ranks, later)
    second = np.arange(len(first)) + np.repeat(ranks + 1 + later - np.cumsum(later), later)
    return np.asarray(order[np.stack([first, second])])


class Mining(Protocol):
    """What the sweep asks of a loss; :class:`bier.losses.MultiSimilarity` says what each means."""

    alpha: float
    beta: float
    base: float
    epsilon: float | None


class MinedSweep:
    """Takes the tiles of one batch through the learners, as :class:`bier.method.losses.pairwise.Sweep` does.

    Args:
        loss: how sharp it is, and what it mines.
        schedule: with ``stagewise`` learner m is judged at the running average of similarities, else at its own.
        learners: their number M.
        like: a tensor of the outputs' type and device.
        labels: whole numbers (n,) of at least two classes, or relations (n, n).

    Attributes:
        losses: (M,), after the run: the mean over anchors.
    """

    def __init__(
        self,
        loss: Mining,
        schedule: Schedule,
        learners: int,
        like: Tensor,
        labels: Tensor,
        *,
        tile: int = TILE,
    ) -> None:
        self.alpha, self.beta = loss.alpha, loss.beta
        self.slack = None if loss.epsilon is None else loss.beta * loss.epsilon
        self.learners, self.n, self.tile = learners, len(labels), tile
        list_pairs = functools.partial(ListedPairs, n=self.n, tile=tile, device=labels.device)
        self.positives = list_pairs(pairs_of_one_class(labels))
        self.unknown = None if labels.ndim == 1 else list_pairs(unknown_pairs(labels).cpu().numpy())
        self.factors = factors(
            loss.alpha, loss.beta, loss.base, schedule == "stagewise", learners, self.n, like.dtype, like.device
        )
        self.losses = like.new_zeros(learners)
        self.kept: dict[Tile, Tensor] = {}
        self.room = KEPT

    def run(self, z: Sequence[Tensor]) -> list[Tensor]:
        """Visit every tile of normalised outputs, M tensors (n, d_m).

        Returns:
            M tensors (n, d_m). -2/M times them are the gradients of the mean loss in z.
        """
        self.z = [blocks(z_m, self.tile) for z_m in z]
        height = range(len(self.z[0]))
        self.tiles = [(i, j) for i in height for j in range(i, len(height))]
        scores = self.positive_scores().repeat(1, 2)
        limits = self.limits(scores)
        hardest, *sums = rows = limits.new_zeros(3, self.learners, self.n)
        self.push(limits, hardest, sums[0])
        pulls = self.pulls(scores, hardest)
        sums[1].index_add_(1, self.positives.anchors, pulls)
        slopes = self.close(rows[1:])
        pulls.mul_(slopes[1].index_select(1, self.positives.anchors))
        return self.gradients(limits, slopes[0], pulls.view(self.learners, 2, -1).sum(1))

    def close(self, sums: Tensor) -> Tensor:
        """The losses of complete sums (2, M, n), and what each exponential in them counts in the gradient."""
        sums.mul_(self.factors.shifts)
        self.losses = (sums.log1p() * self.factors.shares).sum((0, 2))
        return sums.add_(1).reciprocal_().mul_(self.factors.slopes)

    def positive_scores(self) -> Tensor:
        """``beta s`` of the positive pairs, (M, P)."""
        found = self.z[0][0].new_empty(self.learners, self.positives.count)
        for tile in self.positives.spans:
            self.exponentials(tile, found)
        return found

    def exponentials(self, tile: Tile, found: Tensor | None = None) -> Tensor:
        """``exp(beta s)`` of a tile's negative pairs, (M, a, b), else 0; ``beta s`` of positive ones go to found."""
        if tile in self.kept:
            return self.kept[tile]
        i, j = tile
        s = self.losses.new_empty(self.learners, self.z[0][i].shape[0], self.z[0][j].shape[0])
        for s_m, z_m in zip(s.unbind(), self.z, strict=True):
            torch.mm(z_m[i], z_m[j].T, out=s_m)
        e = torch.mm(self.factors.averages, s.view(self.learners, -1)).view_as(s)
        flat = e.view(self.learners, -1)
        span, places = self.positives.within(tile)
        if found is not None:
            torch.index_select(flat, 1, places[0], out=found[:, span])
        e.exp_()
        nothing_known = () if self.unknown is None else self.unknown.within(tile)[1]
        for where in (*places, *nothing_known):
            flat.index_fill_(1, where, 0)
        if i == j:
            e.diagonal(dim1=1, dim2=2).zero_()
        if e.numel() <= self.room:
            self.room -= e.numel()
            self.kept[tile] = e
        return e

    def limits(self, scores: Tensor) -> Tensor:
        """Above which ``exp(beta s)`` a negative pair is mined, (M, n)."""
        limits = scores.new_full((self.learners, self.n), 0.0 if self.slack is None else torch.inf)
        if self.slack is None:
            return limits
        anchors = self.positives.anchors.expand_as(scores)
        return limits.scatter_reduce_(1, anchors, scores, "amin").sub_(self.slack).exp_()

    def push(self, limits: Tensor, hardest: Tensor, sums: Tensor) -> None:
        """Fill in the largest ``exp(beta s)`` of each anchor's negative pairs, and the sum over the mined, (M, n)."""
        for tile in self.tiles:
            e = self.exponentials(tile)
            mined = torch.empty_like(e)
            for block, dim in ((tile[0], 2), (tile[1], 1))[: 1 if tile[0] == tile[1] else 2]:
                rows = self.within(block)
                torch.maximum(hardest[:, rows], e.amax(dim), out=hardest[:, rows])
                torch.gt(e, limits[:, rows].unsqueeze(dim), out=mined).mul_(e)
                sums[:, rows] += mined.sum(dim)

    def pulls(self, scores: Tensor, hardest: Tensor) -> Tensor:
        """``exp(-alpha s)`` of mined positive pairs, and 0 for the others; of both their rows, (M, 2 P)."""
        terms = scores.mul(-self.alpha / self.beta).exp_()
        if self.slack is None:
            return terms
        limits = hardest.log_().add_(self.slack).index_select(1, self.positives.anchors)
        return torch.lt(scores, limits, out=limits).mul_(terms)

    def gradients(self, limits: Tensor, slopes: Tensor, pulls: Tensor) -> list[Tensor]:
        """The second visit; slopes are factors of ``exp(beta s)`` (M, n), and pulls belong to positive pairs (M, P)."""
        sums: list[list[Tensor]] = [[] for _ in self.z]
        for tile in self.tiles:
            e = self.exponentials(tile)
            rows, columns = map(self.within, tile)
            d = torch.gt(e, limits[:, rows].unsqueeze(2), out=torch.empty_like(e)).mul_(slopes[:, rows].unsqueeze(2))
            other = torch.gt(e, limits[:, columns].unsqueeze(1), out=torch.empty_like(e))
            d.addcmul_(other, slopes[:, columns].unsqueeze(1)).mul_(e)
            span, places = self.positives.within(tile)
            for where in places:
                d.view(self.learners, -1).index_copy_(1, where, pulls[:, span])
            add_products(sums, *tile, d.unbind(), self.z)
        return [torch.cat(sums_m) if len(sums_m) > 1 else sums_m[0] for sums_m in sums]

    def within(self, block: int) -> slice:
        return slice(block * self.tile, (block + 1) * self.tile)


@functools.lru_cache(maxsize=16)
def factors(
    alpha: float,
    beta: float,
    base: float,
    stagewise: bool,
    learners: int,
    n: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Factors:
    """What is the same in every batch of one size; making it takes longer than using it."""
    rates = [boosting_rate(m) if stagewise else 1.0 for m in range(1, learners + 1)]
    # The exponentials are of s and not of s - base.
    push, pull = math.exp(-beta * base), math.exp(alpha * base)
    make = functools.partial(torch.tensor, dtype=dtype, device=device)
    return Factors(
        make(average_factors(learners)).mul_(beta) if stagewise else beta * torch.eye(learners, dtype=dtype).to(device),
        make([[[push]], [[pull]]]),
        make([[[1 / (beta * n)]], [[1 / (alpha * n)]]]),
        make([[[sign * rate / (-2 * n)] for rate in rates] for sign in (push, -pull)]),
    )


class Factors(NamedTuple):
    """Constants of a batch, and of its negative (0) and positive pairs (1)."""

    averages: Tensor
    """(M, M), ``beta`` times what each learner counts in the score of each."""
    shifts: Tensor
    """(2, 1, 1), by which sums are multiplied."""
    shares: Tensor
    """(2, 1, 1), of an anchor's logarithm in the loss."""
    slopes: Tensor
    """(2, M, 1), of an exponential in the gradient, but for its anchor's sum."""
