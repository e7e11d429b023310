"""What a search says of each query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bier.evaluate import metrics as formulas
from bier.evaluate.engine.table import Indices

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Wanted:
    """What to find out beside the rank of the first hit."""

    at_r: bool = False
    """Average precision at R and R-precision: the ranks of positives up to R."""
    all_ranks: bool = False
    """Average precision: the ranks of all positives."""

    @property
    def beyond_first(self) -> bool:
        return self.at_r or self.all_ranks


@dataclass(frozen=True, eq=False)
class Ranking:
    """A row for each query; what was not wanted is none."""

    positives: Indices
    """(q,): R."""
    first_hit: Indices
    """(q,): rank of the best positive, or `NO_POSITIVE`."""
    average_precision_at_r: Figures | None
    """(q,): NaN without a positive; so the others."""
    r_precision: Figures | None
    average_precision: Figures | None

    @classmethod
    def empty(cls, queries: int, wanted: Wanted) -> Ranking:
        """Zeros to be filled in."""

        def column(needed: bool) -> Figures | None:
            return np.zeros(queries) if needed else None

        positives, first_hit = np.zeros((2, queries), dtype=np.int64)
        return cls(positives, first_hit, column(wanted.at_r), column(wanted.at_r), column(wanted.all_ranks))

    @classmethod
    def of_nothing(cls, queries: int, wanted: Wanted) -> Ranking:
        """Queries without a positive."""
        ranking = cls.empty(queries, wanted)
        for column in ranking.columns()[2:]:
            column.fill(np.nan)
        return ranking

    @classmethod
    def of_first(cls, positives: Indices, above: Indices) -> Ranking:
        """From R and the number of negatives that tie with the best positive or beat it."""
        first_hit = np.where(positives > 0, 1 + above, formulas.NO_POSITIVE)
        return cls(positives, first_hit, None, None, None)

    @classmethod
    def of_ranks(cls, positives: Indices, ranks: Indices, owner: Indices, wanted: Wanted) -> Ranking:
        """From the ranks of all positives, those of a query one after the other and ascending.

        Args:
            positives: (q,) R.
            ranks: (sum R,); for `Wanted.at_r` alone, ranks above R may be any number above R.
            owner: (sum R,) position of each one's query.
            wanted: what to compute.
        """
        first = np.cumsum(positives) - positives
        first_hit = np.full(len(positives), formulas.NO_POSITIVE)
        first_hit[positives > 0] = ranks[first[positives > 0]]
        nth = np.arange(1, len(ranks) + 1) - first[owner]
        at_r = wanted.at_r
        return cls(
            positives,
            first_hit,
            formulas.average_precision_at_r(ranks, nth, owner, positives) if at_r else None,
            formulas.r_precision(ranks, owner, positives) if at_r else None,
            formulas.average_precision(ranks, nth, owner, positives) if wanted.all_ranks else None,
        )

    def columns(self) -> list[NDArray[np.float64] | Indices]:
        """The columns that are there."""
        found = (self.positives, self.first_hit, self.average_precision_at_r, self.r_precision, self.average_precision)
        return [column for column in found if column is not None]

    def take(self, rows: Indices | NDArray[np.bool_]) -> Ranking:
        """The rankings of some queries."""

        def column(values: Figures | None) -> Figures | None:
            return None if values is None else values[rows]

        figures = (self.average_precision_at_r, self.r_precision, self.average_precision)
        return Ranking(self.positives[rows], self.first_hit[rows], *map(column, figures))

    def put(self, rows: Indices, other: Ranking) -> None:
        """Write the rankings of some queries."""
        for column, values in zip(self.columns(), other.columns(), strict=True):
            column[rows] = values
