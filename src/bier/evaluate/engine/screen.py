"""Fast, inexact scores with a proved bound on their error.

A screen multiplies in float32 or bfloat16. Its scores decide on which side of a threshold a gallery row is, wherever
they differ from the threshold by more than the bound; the few others are scored exactly. So a screen changes the speed
of a figure and never the figure.

Let ``a`` and ``b`` be rows in float64, and ``a'`` and ``b'`` what the screen makes of them. Then

    |a.b - a'.b'|  <=  |a - a'| |b'| + |a| |b - b'|      (Cauchy-Schwarz; the differences are measured)
    |fl(a'.b') - a'.b'|  <=  d u |a'| |b'|,  u = 2^-24   (float32 sums of exact or rounded products, in any order)

and rounding a score to bfloat16 keeps its order to a bound that is rounded likewise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.evaluate.engine.table import Indices, Scores, Side, Table, View, same_class

_UNIT = 2.0**-24
"""Relative error of one rounding to float32."""

_ROWS = 512
"""Rows converted at once: few, to stay in the cache."""


@dataclass(frozen=True, eq=False)
class Operand:
    """Rows of a table, in some order, as a screen multiplies them: learners side by side, scaled by ``sqrt(w_m)``."""

    values: Tensor
    """(n, D)."""
    lengths: NDArray[np.float64]
    """(V, n) of each row's part in each view."""
    errors: NDArray[np.float64]
    """(V, n) length of what rounding took away."""


@dataclass(frozen=True, eq=False)
class Screen:
    """One arithmetic. The products of a view are its exact scores divided by ``factors``."""

    dtype: torch.dtype
    views: Sequence[View]
    sizes: Sequence[int]
    weights: Sequence[float]
    """(M,) of all learners, as they stand in the operands; views have the same in proportion."""

    @property
    def factors(self) -> NDArray[np.float64]:
        """(V,)"""
        return np.array([1 / sum(self.weights[m] for m in view.learners) for view in self.views])

    def operand(self, table: Table, rows: Indices) -> Operand:
        """The rows of a table in this order."""
        values = torch.empty(len(rows), sum(self.sizes), dtype=self.dtype, device=table.device)
        lengths, errors = np.empty((2, len(self.views), len(rows)))
        scales = [weight**0.5 for weight in self.weights]
        for start in range(0, len(rows), _ROWS):
            some = slice(start, start + _ROWS)
            single = _scaled(table, rows[some], scales)
            values[some] = single
            lost = single - values[some]  # without error: its bits are those that were cut off
            for v, columns in enumerate(self.columns()):
                lengths[v, some] = torch.linalg.vector_norm(single[:, columns], dim=1).cpu().numpy()
                errors[v, some] = torch.linalg.vector_norm(lost[:, columns], dim=1).cpu().numpy()
        # Both norms are float32 sums; and a row was rounded when converted, divided and scaled.
        doubt = (sum(self.sizes) + 8) * _UNIT
        return Operand(values, lengths * (1 + doubt), errors * (1 + doubt) + 4 * _UNIT * lengths)

    def columns(self) -> list[slice]:
        """Columns of an operand for each view."""
        ends = [0, *np.cumsum(self.sizes).tolist()]
        return [slice(ends[view.first], ends[view.last]) for view in self.views]

    def margins(self, query: Operand, gallery: Operand) -> NDArray[np.float64]:
        """(V, q) bound on the error of a query's products, before rounding to bfloat16, plus that of exact scores."""
        dimensions = np.array([columns.stop - columns.start for columns in self.columns()])[:, None]
        longest = gallery.lengths.max(1, keepdims=True)
        lost = gallery.errors.max(1, keepdims=True)
        product = (query.lengths + query.errors) * (longest + lost)
        inputs = query.errors * (longest + lost) + query.lengths * lost
        # 16 for the rounding of exact scores and of thresholds.
        sums = (dimensions + len(self.sizes) + 16) * _UNIT * product
        bound: NDArray[np.float64] = 1.001 * (inputs + sums) + 1e-34
        return bound

    def rounding(self, query: Operand, gallery: Operand) -> NDArray[np.float64]:
        """(V, q) bound on what rounding a product to the screen's type takes away."""
        relative = 2.0**-8 if self.dtype == torch.bfloat16 else 0.0
        bound: NDArray[np.float64] = 1.1 * relative * query.lengths * gallery.lengths.max(1, keepdims=True)
        return bound

    def has_key(self, bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether scores can be compared with them as `tiles` does: of bfloat16, with positive ones."""
        return (bounds > 1e-30) | (self.dtype != torch.bfloat16)

    def products(self, query: Tensor, gallery: Tensor, hidden: Tensor | None) -> Iterator[tuple[int, Tensor]]:
        """Each view with its tile of products; a tile is overwritten after its turn.

        Args:
            query: (a, D) rows of an operand.
            gallery: (b, D) likewise.
            hidden: (a, b) where products become minus infinity.
        """
        prefix: Tensor | None = None
        end = 0  # of the prefix
        for (v, view), columns in zip(enumerate(self.views), self.columns(), strict=True):
            if prefix is not None and view.first == 0 and view.last == end:
                yield v, prefix
                continue
            # Contiguous: products of columns out of a wider matrix are several times slower.
            product = query[:, columns].contiguous() @ gallery[:, columns].contiguous().T
            if hidden is not None:
                product.masked_fill_(hidden, -torch.inf)
            yield v, product
            if self.dtype == torch.bfloat16:
                continue  # so fast that every view is multiplied, and sums would lose digits
            if view.first == 0:
                prefix, end = product, view.last
            elif view.first == end and prefix is not None:
                prefix, end = prefix.add_(product), view.last


def _scaled(table: Table, rows: Indices, scales: Sequence[float]) -> Tensor:
    """(len(rows), D) float32: learners side by side, each divided by its length and times its scale."""
    chosen = torch.from_numpy(rows).to(table.device)
    parts = []
    for m, scale in enumerate(scales):
        part = table.parts[m][chosen].float()
        factor = scale if table.norms is None else (scale / table.norms[m][chosen, None]).float()
        parts.append(part * factor)
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class Screened:
    """Queries and gallery as a screen multiplies them.

    Args:
        screen: the arithmetic.
        query: the queries; the same object as ``gallery`` if they search each other.
        gallery: what is searched.
    """

    def __init__(self, screen: Screen, query: Side, gallery: Side) -> None:
        self.screen, self.query, self.gallery = screen, query, gallery
        self._right = screen.operand(gallery.table, gallery.rows)
        self._left = self._right if query is gallery else screen.operand(query.table, query.rows)
        self.margins = screen.margins(self._left, self._right)
        """(V, q) bound on the error of a product, before it is rounded to bfloat16."""
        self.errors = self.margins + screen.rounding(self._left, self._right)
        """(V, q) the same after that."""

    @property
    def itself(self) -> bool:
        """Whether the queries search each other."""
        return self.query is self.gallery

    def products(self, rows: slice, columns: slice) -> Iterator[tuple[int, Tensor]]:
        """A tile for each view, minus infinity where query and gallery row are of one class."""
        hidden = same_class(self.query, self.gallery, rows, columns)
        return self.screen.products(self._left.values[rows], self._right.values[columns], hidden)

    def exact(self, v: int, queries: Indices, gallery: Indices) -> Scores:
        """Exact scores of pairs."""
        columns, view = self.gallery.rows[gallery], self.screen.views[v]
        return self.query.table.pair_scores(self.query.rows[queries], self.gallery.table, columns, view)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the processor does so in hardware, and it pays. GPUs may sum bfloat16 products in bfloat16: not there."""
    if device.type != "cpu" or not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    tile = torch.ones(512, 512)
    return 2 * _seconds(tile.bfloat16()) < _seconds(tile)


def _seconds(tile: Tensor) -> float:
    times = []
    for _ in range(4):
        began = time.perf_counter()
        tile @ tile
        times.append(time.perf_counter() - began)
    return min(times)


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside, float32 products are summed in float32, whatever the program allows elsewhere."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
