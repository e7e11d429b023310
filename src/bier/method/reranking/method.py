"""What a re-ranking is: a score for each of the first hits, from their vectors and the query's."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bier.errors import ConfigError

Scores = NDArray[np.float64]
Vectors = NDArray[np.float32] | NDArray[np.float64]

MOST = 1000
"""Hits that can be ranked again: the cost grows with their cube."""


@dataclass(frozen=True, kw_only=True)
class Reranking(ABC):
    """A method with its options.

    Raises:
        ConfigError: an option out of its range.
    """

    name: ClassVar[str]
    first: int = 200
    """Hits that get a new order; the others stay behind them, as they were."""

    def __post_init__(self) -> None:
        self._check("first", self.first, 2, MOST)
        self.check_options()
        if self.neighbours > self.first:
            raise ConfigError(
                f"{self.name} takes {self.neighbours} neighbours, and first lets it see {self.first} hits",
                where="re-ranking",
                remedy=f"raise first, or take fewer neighbours; first goes up to {MOST:,}",
            )

    @property
    @abstractmethod
    def neighbours(self) -> int:
        """Hits without which it cannot work."""

    @abstractmethod
    def check_options(self) -> None:
        """Raise `ConfigError` if an option is out of its range."""

    @abstractmethod
    def scores(self, query: Vectors, pool: Vectors) -> Scores:
        """(m,) score of each hit: the higher, the nearer.

        Args:
            query: (D,), not zero.
            pool: (m, D) vectors of the first hits, the best first; at least `neighbours`.
        """

    def check_pool(self, pictures: int) -> None:
        """Refuse a search that has too few hits.

        Raises:
            ConfigError: it has fewer than the method takes neighbours.
        """
        if pictures < self.neighbours:
            raise ConfigError(
                f"{self.name} takes {self.neighbours} neighbours, and there are {pictures} pictures to search among",
                where="re-ranking",
                remedy=f"search without re-ranking, or write {self.fewer(pictures)}",
            )

    @abstractmethod
    def fewer(self, pictures: int) -> str:
        """How to ask for it where there are so few pictures."""

    def __str__(self) -> str:
        """As it is asked for: the name, and the options that are not the usual ones."""
        own = {field.name.rstrip("_"): (getattr(self, field.name), field.default) for field in fields(self)}
        return ",".join([self.name, *(f"{key}={value:g}" for key, (value, usual) in own.items() if value != usual)])

    def _check(self, option: str, value: float, low: float, high: float) -> None:
        if not (math.isfinite(value) and low <= value <= high):
            raise ConfigError(
                f"{option} of {self.name} is {value:g}", where="re-ranking", remedy=f"choose {low:g} to {high:g}"
            )


def unit(vectors: Vectors) -> NDArray[np.float64]:
    """The vectors (..., D) with length 1."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    return scaled
