"""The first hits of a search, put in a better order by how like they are to one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bier.method.reranking import Reranking, parse
from bier.search.base import Ranked, Vectors


@dataclass(frozen=True)
class RankAgain:
    """Gives what was found by a whole query its new order; the hits behind the first ones stay as they were."""

    reranking: Reranking
    always: bool = True
    """Whether too few hits are an error; otherwise they keep their order."""

    @classmethod
    def asked(cls, text: str, where: str = "rerank", *, always: bool = True) -> RankAgain:
        """From a text such as ``k-reciprocal,k1=10``; raises `ConfigError` if it is none."""
        return cls(parse(text, where), always)

    def needed(self, top: int) -> int:
        """Hits to search for, so that the first ``top`` of the new order are among them."""
        return max(top, self.reranking.first)

    def __call__(self, query: Vectors, found: Ranked) -> Ranked:
        """The same pictures with their old scores, and what they are ordered by now.

        Args:
            query: (D,), of all learners.
            found: nearest to it, `needed` of them or all that there are.

        Raises:
            ConfigError: some hits, but fewer than the re-ranking takes neighbours.
        """
        if not len(found) or (not self.always and len(found) < self.reranking.neighbours):
            return found
        pool = found.first(self.reranking.first)
        self.reranking.check_pool(len(pool))
        scores = np.full(len(found), np.nan)
        scores[: len(pool)] = self.reranking.scores(query, pool.rows.vectors)
        new = sorted(range(len(pool)), key=lambda row: (-scores[row], found.rows.ids[row]))
        order = [*new, *range(len(pool), len(found))]
        return Ranked(found.rows.take(order), found.scores[order], scores[order])
