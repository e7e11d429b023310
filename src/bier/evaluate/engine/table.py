"""One side of a search: vectors in parts (the learners), what each row is, and the exact score of two rows.

The **score** of two rows is ``sum_m w_m s_m`` over the learners that take part, where ``s_m`` is the dot product of
their outputs, summed in float64 (of outputs divided by their lengths, for cosines). The sum is then rounded: cosines to
multiples of 2^-24 (float32's step below 1), other products to float32. The rounding hides the order of summation: equal
rows tie exactly wherever they stand, and no figure depends on tiles, threads, processes or the order of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]
Scores = NDArray[np.float32]

_TO_STEPS = 1.5 * 2.0 ** (52 - 24)
"""Added to a float64 between -1 and 1, it leaves no bits below 2^-24."""

_PAIRS = 256
"""Pairs that are scored at once on the CPU, whose rows fit its cache; on a GPU many more."""


@dataclass(frozen=True)
class View:
    """Neighbouring learners, weighted: an embedding of its own."""

    first: int
    last: int
    """One beyond the last learner that takes part."""
    weights: tuple[float, ...]
    """``w_m`` of each of them; they sum to 1."""

    @property
    def learners(self) -> range:
        return range(self.first, self.last)

    def score(self, products: Sequence[Tensor] | Mapping[int, Tensor], normalised: bool) -> Tensor:
        """Exact scores, float32, of the float64 products of each learner that takes part."""
        total = products[self.first] * self.weights[0]
        for m, weight in zip(self.learners[1:], self.weights[1:], strict=True):
            total.add_(products[m], alpha=weight)
        if normalised:
            # Not by float32 alone: near zero its steps are finer than the error of the sum.
            total.add_(_TO_STEPS).sub_(_TO_STEPS)
        return total.float()


@dataclass(frozen=True, eq=False)
class Table:
    """n rows."""

    parts: tuple[Tensor, ...]
    """M outputs (n, d_m), any real type, on one device."""
    norms: tuple[Tensor, ...] | None
    """M lengths (n,) float64 by which they are divided (cosine), or none (dot product)."""
    codes: Indices
    """(n,) class of each row. Distractors are rows of a class that no query has."""
    ids: Indices
    """(n,) identity: a query never finds itself."""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    def joined(self, other: Table) -> Table:
        """Both, one after the other."""
        parts = tuple(torch.cat(pair) for pair in zip(self.parts, other.parts, strict=True))
        norms = None
        if self.norms is not None and other.norms is not None:
            norms = tuple(torch.cat(pair) for pair in zip(self.norms, other.norms, strict=True))
        codes, ids = np.concatenate([self.codes, other.codes]), np.concatenate([self.ids, other.ids])
        return Table(parts, norms, codes, ids)

    def rows(self, index: Indices | slice) -> list[Tensor]:
        """M outputs (len(index), d_m) float64. Converting some rows at a time keeps the whole in its own type."""
        chosen = index if isinstance(index, slice) else torch.from_numpy(index).to(self.device)
        rows = [part[chosen].double() for part in self.parts]
        if self.norms is None:
            return rows
        return [row / norm[chosen, None] for row, norm in zip(rows, self.norms, strict=True)]

    def products(self, index: Indices, gallery: Table, columns: Indices | slice) -> list[Tensor]:
        """M matrices (len(index), len(columns)) float64: ``s_m`` of every row with every column."""
        return [a @ b.T for a, b in zip(self.rows(index), gallery.rows(columns), strict=True)]

    def embedding(self, view: View) -> Tensor:
        """(n, d) float32 on the CPU: the dot product of two rows is their score, up to rounding."""
        pieces = []
        for start in range(0, len(self), 4096):
            rows = self.rows(slice(start, start + 4096))
            weighed = [w**0.5 * rows[m] for m, w in zip(view.learners, view.weights, strict=True)]
            pieces.append(torch.cat(weighed, dim=1).float().cpu())
        return torch.cat(pieces)

    def pair_scores(self, index: Indices, gallery: Table, columns: Indices, view: View) -> Scores:
        """(len(index),) exact scores of row ``index[k]`` with column ``columns[k]``."""
        scores = np.empty(len(index), dtype=np.float32)
        rows, others = (torch.from_numpy(numbers).to(self.device) for numbers in (index, columns))
        step = _PAIRS if self.device.type == "cpu" else 256 * _PAIRS
        for start in range(0, len(index), step):
            some = slice(start, start + step)
            products = {m: self._pair_product(m, rows[some], gallery, others[some]) for m in view.learners}
            scores[some] = view.score(products, self.norms is not None).cpu().numpy()
        return scores

    def _pair_product(self, m: int, rows: Tensor, gallery: Table, others: Tensor) -> Tensor:
        """(len(rows),) float64: ``s_m`` of pairs."""
        product = _dots(self.parts[m].index_select(0, rows), gallery.parts[m].index_select(0, others))
        if self.norms is None or gallery.norms is None:
            return product
        return product / (self.norms[m][rows] * gallery.norms[m][others])


@dataclass(frozen=True, eq=False)
class Side:
    """Some rows of a table, class by class."""

    table: Table
    rows: Indices
    """(n,): ascending in ``turn``."""
    turn: Indices
    """(n,): when the class of each has its turn."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Indices) -> Side:
        return Side(self.table, self.rows[positions], self.turn[positions])


def _dots(one: Tensor, other: Tensor) -> Tensor:
    """(n,) dot products of rows, summed in float64."""
    if one.device.type == "cpu" and one.dtype == other.dtype == torch.float32:  # without copies in float64
        return torch.from_numpy(np.einsum("ij,ij->i", one.numpy(), other.numpy(), dtype=np.float64))
    return one.double().mul_(other).sum(1)


def sides(query: Table, gallery: Table | None) -> tuple[Side, Side]:
    """Queries and gallery in a common order of classes; the same object twice if queries search each other.

    Which class comes first is drawn: names and numbers of classes are often in an order that means something, and tiles
    shall be like one another.
    """
    every = query.codes if gallery is None else np.concatenate([query.codes, gallery.codes])
    turns = np.random.default_rng(0).permutation(int(every.max()) + 1)

    def side(table: Table) -> Side:
        turn = turns[table.codes]
        rows = np.argsort(turn, kind="stable")
        return Side(table, rows, turn[rows])

    first = side(query)
    return first, first if gallery is None else side(gallery)


def same_class(query: Side, gallery: Side, rows: slice, columns: slice) -> Tensor | None:
    """(rows, columns): those of one class; none if there are none."""
    mine, others = query.turn[rows], gallery.turn[columns]
    if mine[-1] < others[0] or others[-1] < mine[0]:
        return None
    return torch.from_numpy(mine[:, None] == others).to(query.table.device)


def views(weights: Sequence[float]) -> list[View]:
    """Each learner, and each prefix of two learners and more; the last is the whole.

    Args:
        weights: (M,) of the learners in the whole. A prefix keeps their proportions.
    """
    found = []
    for m in range(len(weights)):
        found.append(View(m, m + 1, (1.0,)))
        if m:
            total = sum(weights[: m + 1])
            found.append(View(0, m + 1, tuple(weight / total for weight in weights[: m + 1])))
    return found
