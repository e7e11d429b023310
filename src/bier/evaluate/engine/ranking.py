"""What a search says of each query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bier.evaluate.engine.table import Indices
from bier.evaluate.metrics import METRICS, Figures
from bier.evaluate.metrics.formulas import NO_POSITIVE


@dataclass(frozen=True)
class Wanted:
    """What to find out beside the rank of the first hit: names of `METRICS`."""

    metrics: tuple[str, ...] = ()

    @property
    def at_r(self) -> bool:
        """Whether ranks of positives up to R are needed, and no others."""
        return any(METRICS[name].needs == "at_r" for name in self.metrics)

    @property
    def all_ranks(self) -> bool:
        return any(METRICS[name].needs == "all" for name in self.metrics)

    @property
    def beyond_first(self) -> bool:
        return bool(self.metrics)


@dataclass(frozen=True, eq=False)
class Ranking:
    """A row for each query."""

    positives: Indices
    """(q,): R."""
    first_hit: Indices
    """(q,): rank of the best positive, or `NO_POSITIVE`."""
    figures: dict[str, Figures]
    """(q,) of each wanted metric: NaN without a positive."""

    @classmethod
    def empty(cls, queries: int, wanted: Wanted) -> Ranking:
        """Zeros to be filled in."""
        positives, first_hit = np.zeros((2, queries), dtype=np.int64)
        return cls(positives, first_hit, {name: np.zeros(queries) for name in wanted.metrics})

    @classmethod
    def of_nothing(cls, queries: int, wanted: Wanted) -> Ranking:
        """Queries without a positive."""
        ranking = cls.empty(queries, wanted)
        for column in ranking.figures.values():
            column.fill(np.nan)
        return ranking

    @classmethod
    def of_first(cls, positives: Indices, above: Indices) -> Ranking:
        """From R and the number of negatives that tie with the best positive or beat it."""
        first_hit = np.where(positives > 0, 1 + above, NO_POSITIVE)
        return cls(positives, first_hit, {})

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
        first_hit = np.full(len(positives), NO_POSITIVE)
        first_hit[positives > 0] = ranks[first[positives > 0]]
        nth = np.arange(1, len(ranks) + 1) - first[owner]
        figures = {name: METRICS[name].formula(ranks, nth, owner, positives) for name in wanted.metrics}
        return cls(positives, first_hit, figures)

    def columns(self) -> list[NDArray[np.float64] | Indices]:
        """All of them, in one order."""
        return [self.positives, self.first_hit, *self.figures.values()]

    def take(self, rows: Indices | NDArray[np.bool_]) -> Ranking:
        """The rankings of some queries."""
        figures = {name: values[rows] for name, values in self.figures.items()}
        return Ranking(self.positives[rows], self.first_hit[rows], figures)

    def put(self, rows: Indices, other: Ranking) -> None:
        """Write the rankings of some queries."""
        for column, values in zip(self.columns(), other.columns(), strict=True):
            column[rows] = values
