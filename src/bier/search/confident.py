"""A search that says how sure it is of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from bier.confidence.calibration import Calibration
from bier.confidence.neighbours import HITS, Neighbours
from bier.confidence.shared import SharedLabels
from bier.search.base import Hit, IndexInfo, Ranked, Vectors
from bier.search.expected import Expected
from bier.search.reranked import RankAgain
from bier.vectors.layout import wrong_length

LABEL = "label"
"""The field that says what a picture shows."""


@dataclass(frozen=True)
class Answer:
    """The hits of one query, and how sure they are; None where that cannot be told."""

    hits: list[Hit]
    confidence: float | None = None
    """The chance that the first hit is right: it shows what the query shows."""
    known: float | None = None
    """The chance that what the query shows is in the catalogue at all."""
    absent: bool | None = None
    """True: probably not in this catalogue."""
    expected: Expected | None = None
    """What such searches find, where they may miss pictures; None: these are the nearest."""


class Searcher(Protocol):
    """An index, or a search in stages."""

    @property
    def info(self) -> IndexInfo: ...
    def ranked(self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None) -> list[Ranked]: ...
    def expected(self, queries: ArrayLike, where: Mapping[str, Any] | None = None) -> Expected | None: ...


class ConfidentSearch:
    """Searches, and judges each answer.

    Queries are whole vectors of one picture each. The chances of other vectors are not told: a calibration says nothing
    of single learners, of averages or of vectors of no model.

    Args:
        searcher: an index, or a search in stages.
        calibration: what has been learned of such answers; None: no chances.
        again: ranks the hits again. The chances are of the first order: the confidence is told only if the first hit
            has the same label in both.
    """

    def __init__(self, searcher: Searcher, calibration: Calibration | None, again: RankAgain | None = None) -> None:
        self._searcher, self._calibration, self._again = searcher, calibration, again

    def search(
        self,
        queries: ArrayLike,
        top: int = 10,
        where: Mapping[str, Any] | None = None,
        *,
        without: Set[str] = frozenset(),
    ) -> list[Answer]:
        """As `Index.search`.

        A filter changes the hits, and not what is known: the chances are of the whole catalogue. So the confidence is
        told only if the first hit has the label of the first hit without a filter.

        Args:
            queries: as for `Index.search`.
            top: likewise.
            where: likewise.
            without: ids of pictures that are left out, such as that of the query itself.
        """
        queries = np.atleast_2d(np.asarray(queries))
        needed = top if self._again is None else self._again.needed(top)
        expected = self._searcher.expected(queries, where)
        answers = self._answers(queries, top, needed, where, without)
        return answers if expected is None else [replace(answer, expected=expected) for answer in answers]

    def _answers(
        self, queries: Vectors, top: int, needed: int, where: Mapping[str, Any] | None, without: Set[str]
    ) -> list[Answer]:
        if self._calibration is None:
            found = self._ranked(queries, needed, where, without)
            return [Answer(ranked.first(top).hits()) for ranked in self._in_order(queries, found)]
        whole = self._ranked(queries, max(HITS, 0 if where else needed), None, without)
        found = self._ranked(queries, needed, where, without) if where else whole
        shown = self._in_order(queries, found)
        return [self._judged(*each, top) for each in zip(queries, whole, shown, strict=True)]

    def _ranked(self, queries: Vectors, top: int, where: Mapping[str, Any] | None, without: Set[str]) -> list[Ranked]:
        return [_left(found, without) for found in self._searcher.ranked(queries, top + len(without), where)]

    def _in_order(self, queries: Vectors, found: list[Ranked]) -> list[Ranked]:
        """What was found, ranked again if that is asked for."""
        return found if self._again is None else list(map(self._again, queries, found))

    def _judged(self, query: Vectors, whole: Ranked, shown: Ranked, top: int) -> Answer:
        info, hits = self._searcher.info, shown.first(top).hits()
        if self._calibration is None or wrong_length(query[None], info.sizes, info.scales) is not None:
            return Answer(hits)
        judged = self._calibration.judge(_neighbours(query, whole, info.sizes, self._calibration.separator))
        confidence = float(judged.confidence[0]) if _same(whole, shown) else None
        return Answer(hits, confidence, float(judged.known[0]), bool(judged.absent[0]))


def _left(found: Ranked, without: Set[str]) -> Ranked:
    """What is left without some pictures."""
    if without.isdisjoint(found.rows.ids):
        return found
    kept = [row for row, name in enumerate(found.rows.ids) if name not in without]
    return Ranked(found.rows.take(kept), found.scores[kept])


def _neighbours(query: Vectors, found: Ranked, sizes: Sequence[int], separator: str | None) -> Neighbours:
    first = found.first(HITS)
    texts = [[row.get(LABEL) for row in first.rows.metadata]]
    labels: Any = texts
    shared: SharedLabels | None = None
    if separator is not None:
        labels, shared = SharedLabels.numbered(texts, separator)
    return Neighbours.of(
        first.scores[None],
        labels if any(label is not None for label in texts[0]) else None,
        queries=query[None],
        hits=first.rows.vectors[None],
        sizes=sizes,
        shared=shared,
    )


def _same(whole: Ranked, shown: Ranked) -> bool:
    """Whether both say the same of what the query shows."""
    if not len(shown) or not len(whole):
        return not len(whole)
    label = whole.rows.metadata[0].get(LABEL)
    return whole.rows.ids[0] == shown.rows.ids[0] or (label is not None and label == shown.rows.metadata[0].get(LABEL))
