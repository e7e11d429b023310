"""An index searched in stages, from memory: its shortlist is the cheapest that finds the exact answer often enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bier.errors import BierError, SearchError
from bier.search import shortlist as shortlists
from bier.search.approximate import QUERIES, TOP, USUAL_RECALL, recall_of
from bier.search.base import Hit, Index, Precision, Ranked, Rows, Vectors
from bier.search.cascade import Chosen
from bier.search.expected import Expected
from bier.search.measured import Approximation
from bier.search.snapshot import Snapshot, empty, read, tidied
from bier.search.stages import Tell, silent
from bier.system.allocator import give_back_freed_memory

LOOKS = 1.0
"""Seconds between two looks whether the index has changed."""
RESTS = 5
"""Times as long as it took to follow the index, it is left alone."""
RETRY = 60.0
"""Seconds from an index that cannot be read to the next try."""


class StagedSearch:
    """Searches an index in stages. It follows the index: what has changed counts some seconds later.

    The engine ``milvus`` does not tell of changes. There, answers are of the moment when this was made.

    Args:
        index: all its vectors are read, 4 bytes a dimension, and a sixth more.
        shortlist: about how many pictures the first learner hands on; by default the fewest that reach the recall.
        precision: of the first stage.
        recall: recall@10 that is wanted, above 0 and below 1. What is measured is kept in ``staged.json``.
        tell: is told of stages that take long, and of what was found.

    Raises:
        SearchError: the index holds one learner only, is damaged, or the recall is out of range.
    """

    def __init__(
        self,
        index: Index,
        shortlist: int | None = None,
        precision: Precision = "float32",
        *,
        recall: float = USUAL_RECALL,
        tell: Tell = silent,
    ) -> None:
        if len(index.info.sizes) < 2:
            raise SearchError(
                "has one learner only: there are no stages", where=index.folder, remedy="search it without stages"
            )
        shortlists.check_recall(recall)
        self.info = index.info
        self._index, self._wanted, self._tell = index, recall, tell
        self._given, self.measured = shortlist, None if shortlist else shortlists.known(index.folder, recall)
        self._now = empty(index, precision)
        self._version: object = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._next, self._stopped = 0.0, False
        self.catch_up()

    measured: Approximation | None
    """The shortlist, and the recall that was measured with it; None if the shortlist was given."""

    def search(self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None) -> list[list[Hit]]:
        """As `Index.search`, for whole queries: the hits may miss some of the best, the scores are exact."""
        return [ranked.hits() for ranked in self.ranked(queries, top, where)]

    def ranked(self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None) -> list[Ranked]:
        """As `search`, with the stored vectors."""
        asked, filters = self._index.checked_query(queries, top, where)
        self._follow()
        now = self._now
        allowed = now.allowed
        if filters:
            passes = np.append(now.columns.passing(filters), False)  # the last one stands for what is of the past
            allowed = passes[now.places]
        found = now.cascade.nearest(asked, top, self._shortlist(), allowed)
        return [_ranked(now, query, rows) for query, (rows, _) in zip(asked, found, strict=True)]

    def expected(self, queries: ArrayLike, where: Mapping[str, Any] | None = None) -> Expected:
        """What such searches find."""
        measured = self.measured
        return Expected(None if measured is None else measured.recall)

    def catch_up(self) -> None:
        """Take up what has changed in the index, now.

        Raises:
            SearchError: the index is damaged; what was read before goes on answering.
        """
        with self._lock:
            version = self._index.version()
            now = read(self._index, self._now, lambda: not self._stopped)
            if now is None:
                return
            self._now, self._version = now, version
            for tidier in tidied(now):
                self._now = tidier
            del now
            give_back_freed_memory()
            if self._given is None:
                self._measure()

    def close(self) -> None:
        """Follow the index no more; it is not closed."""
        self._stopped = True
        thread = self._thread
        if thread is not None:
            thread.join()

    def _shortlist(self) -> int:
        return self._given or shortlists.of(self.measured)

    # --- following the index ---

    def _follow(self) -> None:
        """Have somebody look whether the index has changed, if nobody has for a while."""
        if time.monotonic() < self._next or self._stopped or self._lock.locked():
            return
        self._next = time.monotonic() + LOOKS
        try:
            version = self._index.version()
        except BierError:  # whoever searches the index itself is told
            return
        if version is None or version == self._version:
            return
        self._next = float("inf")
        self._thread = threading.Thread(target=self._catch_up, name="bier-staged", daemon=True)
        self._thread.start()

    def _catch_up(self) -> None:
        started = time.monotonic()
        rests = RETRY
        try:
            self.catch_up()
            rests = LOOKS + RESTS * (time.monotonic() - started)
        except BierError as error:
            self._tell(f"the index has changed, and cannot be read: {error}")
        finally:
            self._next = time.monotonic() + rests

    # --- measuring ---

    def _measure(self) -> None:
        """Find the cheapest shortlist, unless that is known of about as many pictures."""
        count = len(self._now.columns)
        if not count or shortlists.holds(self.measured, count):
            return
        self._tell(f"searching for {min(QUERIES, count):,} of {count:,} pictures, to choose the shortlist")
        there = np.flatnonzero(self._now.places >= 0)
        chosen = np.sort(np.random.default_rng(0).permutation(there)[:QUERIES])
        self.measured = shortlists.cheapest(self._wanted, count, len(chosen), self._recall_of(chosen))
        self._tell(f"in stages: {shortlists.in_words(self.measured)}")
        shortlists.keep(self._index.folder, self.measured)

    def _recall_of(self, chosen: Chosen) -> Callable[[int], float]:
        """The recall of a shortlist, as a function: of pictures that are searched for among the others."""
        now, queries = self._now, self._now.cascade.vectors(chosen)
        own = now.columns.take(now.places[chosen]).ids
        exact = _hits(now, queries, now.cascade.exact(queries, TOP + 1, now.allowed))

        def recall(count: int) -> float:
            found = now.cascade.nearest(queries, TOP + 1, count, now.allowed)
            return recall_of(_hits(now, queries, [rows for rows, _ in found]), exact, own)

        return recall


def _hits(now: Snapshot, queries: Vectors, found: list[Chosen]) -> list[list[Hit]]:
    return [_ranked(now, query, rows).hits() for query, rows in zip(queries, found, strict=True)]


def _ranked(now: Snapshot, query: Vectors, rows: Chosen) -> Ranked:
    pictures = now.columns.take(now.places[rows])
    return Ranked.of(query, Rows(pictures.ids, now.cascade.vectors(rows), pictures.metadata))
