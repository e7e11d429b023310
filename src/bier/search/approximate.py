"""An approximate index: the cheapest setting that finds the exact answer often enough, measured and kept.

Recall@10 is the share of the exact ten nearest that a search finds. It is measured on stored pictures, each searched
for among the others. Candidates are scored again exactly, so an approximate index may miss a picture, and never
changes a score or the order.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bier.errors import SearchError
from bier.search.base import Hit, Index, IndexInfo, Ranked, Rows, Vectors
from bier.search.expected import Expected
from bier.search.filters import Filter, Filters
from bier.search.measured import FILE, Approximation, Setting, Tried, in_words, read, write
from bier.search.stages import Show, Tell, silent, unseen
from bier.search.writers import index_errors
from bier.system.files import WhileUnchanged
from bier.system.locks import release, try_lock

LOCK = "approximate.lock"
"""Is held by who builds and measures."""

USUAL_RECALL = 0.98
WORTH_IT = 50_000
"""Pictures from which a search of all takes longer than one should wait."""
FEWEST = 1_000
"""Pictures below which there is nothing to gain."""
TOP = 10
QUERIES = 400
"""Pictures that are searched for to measure recall: its standard error is then about half a percent."""
FEW = WORTH_IT
"""Pictures behind a filter that are searched exactly."""
SHARES = (0.5, 0.1)
"""Of the pictures, that filters leave for which recall is measured; and that of `FEW`."""
NEAR = 1.1
"""Times the share that a filter leaves: for what was measured of so much, and less, its recall holds."""
GROWN = 2
"""Times as many pictures as when it was built: it is built anew."""

AT_ONCE = 25
"""Queries of a measurement after which it is shown how far it is."""
REMEMBERED = 64
"""Filters of which it is known how many pictures pass."""


class BuiltElsewhereError(SearchError):
    """Another process builds the approximate index."""


class ApproximateIndex(Index):
    """An engine that can have an approximate index, and uses it as long as nobody asks for exact answers.

    An engine supplies the methods below the line beside those of `Index`.
    """

    ladder: ClassVar[Sequence[Setting]]
    """Settings of a search, the cheapest first."""

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        super().__init__(folder, info)
        self._described = WhileUnchanged(folder / FILE, lambda: read(folder))
        self._counted: dict[tuple[Hashable, Filters], int] = {}

    @property
    def approximation(self) -> Approximation | None:
        """What was built and measured; None if nothing was asked for yet.

        Raises:
            SearchError: the file that says so is damaged.
        """
        return self._described()

    def tune(self, recall: float = USUAL_RECALL, tell: Tell = silent, show: Show = unseen) -> Approximation:
        """Build the approximate index, and find the cheapest setting that reaches a recall. Takes minutes at a million.

        Searches go on meanwhile, and other writers wait. An interruption leaves the index without it, or as it was.

        Args:
            recall: recall@10 that is wanted, above 0; 1 searches exactly from now on.
            tell: is told of each stage.
            show: is shown how far a stage is, also from another thread.

        Raises:
            SearchError: the recall is out of range, there are too few pictures, another process builds, or the engine
                fails.
        """
        check_recall(self, recall)
        known, count = self.approximation, self.count()
        if recall == 1:
            return self._keep(Approximation(1.0))
        if count < FEWEST:
            raise SearchError(
                f"holds {count:,} pictures: an approximate index needs {FEWEST:,}",
                where=self.folder,
                remedy="search it as it is: exact answers take milliseconds",
            )
        with self._only_builder():
            return self._tuned(recall, known, count, tell, show)

    def _tuned(self, recall: float, known: Approximation | None, count: int, tell: Tell, show: Show) -> Approximation:
        # Until the new one is measured, searches take the most careful setting, or are exact if there was none.
        careful = self.ladder[-1] if known is not None and known.setting else None
        self._keep(Approximation(recall, setting=careful))
        tell(f"building the approximate index of {count:,} pictures")
        self._build(show)
        return self._keep(self._measured(recall, count, tell, show))

    @contextmanager
    def _only_builder(self) -> Iterator[None]:
        """No other process builds; raises `BuiltElsewhereError` if one does."""
        with index_errors(self.folder):
            lock = try_lock(self.folder / LOCK, os.O_RDWR | os.O_CREAT)
        if lock is None:
            raise BuiltElsewhereError(
                "its approximate index is being built by another process",
                where=self.folder,
                remedy="wait until that has ended; `bier index info` then shows what it has reached",
            )
        try:
            yield
        finally:
            release(lock)

    def keep_tuned(self, tell: Tell = silent, recall: float | None = None, show: Show = unseen) -> Approximation | None:
        """Build, or build anew, where the number of pictures or another recall asks for it.

        Args:
            tell: is told of each stage.
            recall: wanted from now on; by default what was wanted before, or `USUAL_RECALL`.
            show: as for `tune`.
        """
        known, count = self.approximation, self.count()
        wanted = recall or (known.wanted if known is not None else USUAL_RECALL)
        asked = known is not None and known.wanted < 1  # by hand, of whatever size
        if wanted == 1 or count < (FEWEST if asked else WORTH_IT):
            return known if recall is None else self._keep(Approximation(wanted))
        measured = known is not None and known.wanted == wanted and known.queries > 0
        if known is not None and measured and known.pictures / GROWN < count < known.pictures * GROWN:
            return known
        try:
            return self.tune(wanted, tell, show)
        except BuiltElsewhereError:
            tell("another process builds the approximate index: this is left to it")
            return self.approximation

    def _measured(self, wanted: float, count: int, tell: Tell, show: Show) -> Approximation:
        asked = self._sample(QUERIES)
        tell(f"searching exactly for {len(asked):,} pictures, to measure recall")
        found = self._cheapest(asked, wanted, (), self.ladder, tell, show)
        if found.setting is None:
            return Approximation(wanted, None, count, len(asked), None, found.best)
        within = self._measured_within(asked, wanted, found.setting, count, tell, show)
        return Approximation(wanted, found.recall, count, len(asked), found.setting, within=tuple(within))

    def _measured_within(
        self, asked: Rows, wanted: float, setting: Setting, count: int, tell: Tell, show: Show
    ) -> Iterator[Tried]:
        """The cheapest setting within filters, the broadest first; a narrower one never needs less."""
        few = FEW / count
        half = asked.take(range(0, len(asked), 2))  # each filter has all the stages again
        for share in [share for share in (*SHARES, few) if few <= share < 1]:
            filters = middle(asked.ids, share)
            tell(f"the same within a filter that leaves {self._count(filters):,} pictures")
            ladder = self.ladder[list(self.ladder).index(setting) :]
            found = self._cheapest(half, wanted, filters, ladder, tell, show)
            yield found
            if found.setting is None:  # nor does any within a narrower one
                return
            setting = found.setting

    def _cheapest(
        self, asked: Rows, wanted: float, filters: Filters, ladder: Sequence[Setting], tell: Tell, show: Show
    ) -> Tried:
        """The first setting that reaches a recall."""
        count = self._count(filters)
        share = count / max(self._count(()), 1)
        exact = self._exactly(asked.vectors, filters, lambda done: show("searching exactly", done, count))
        best = 0.0
        for setting in ladder:
            words = in_words(setting)
            found = self._tried(asked.vectors, filters, setting, partial(show, f"trying {words}", total=len(asked)))
            recall = recall_of(found, exact, asked.ids)
            tell(f"recall {recall:.4f} with {words}")
            if recall >= wanted:
                return Tried(share, recall, setting)
            best = max(best, recall)
        return Tried(share, None, None, best)

    def _exactly(self, queries: Vectors, filters: Filters, seen: Callable[[int], object]) -> list[list[Hit]]:
        """Exact answers; ``seen`` hears how many pictures were looked at."""
        found = self._ranked(queries, TOP + 1, lambda some, count: self._scanned(some, count, filters, seen))
        return [ranked.hits() for ranked in found]

    def _scanned(self, queries: Vectors, count: int, filters: Filters, seen: Callable[[int], object]) -> list[Rows]:
        """`_nearest` for many queries; an engine that knows how far it is tells ``seen``."""
        return self._nearest(queries, count, filters)

    def _tried(
        self, queries: Vectors, filters: Filters, setting: Setting, show: Callable[..., object]
    ) -> list[list[Hit]]:
        """Answers with one setting, some at a time."""
        found: list[list[Hit]] = []
        for start in range(0, len(queries), AT_ONCE):
            show(done=start, unit="queries")
            found += self._search(queries[start : start + AT_ONCE], TOP + 1, filters, setting)
        return found

    def _keep(self, known: Approximation) -> Approximation:
        write(self.folder, known)
        return known

    def expected(self, queries: ArrayLike, where: Mapping[str, Any] | None = None) -> Expected | None:
        used = self._used(*self.checked_query(queries, 1, where))
        return None if used is None else Expected(used.recall)

    def _candidates(self, queries: Vectors, count: int, filters: Filters, exact: bool) -> list[Rows]:
        used = None if exact else self._used(queries, filters)
        if used is None or used.setting is None:
            return self._nearest(queries, count, filters)
        return self._near_or_exact(queries, count, filters, used.setting)

    def _used(self, queries: Vectors, filters: Filters) -> Tried | None:
        """The setting of such a search, and what it finds; None: it is exact."""
        known = self.approximation
        # What was measured holds for whole queries, and not for those of single learners.
        if known is None or known.setting is None or not self._is_whole(queries):
            return None
        if not filters:
            return Tried(1, known.recall, known.setting)
        passing = self._passing(filters)
        if passing <= FEW:
            return None
        share = passing / max(self._count(()), 1)
        measured = known.within or (Tried(0, None, self.ladder[-1]),)
        found = next((one for one in measured if one.share <= NEAR * share), measured[-1])
        return found if found.setting is not None else None

    def _passing(self, filters: Filters) -> int:
        """Pictures that pass; those of the last filters are remembered until the index changes."""
        version = self.version()
        if version is None:
            return self._count(filters)
        count = self._counted.get((version, filters))
        if count is None:
            if len(self._counted) >= REMEMBERED:
                self._counted.clear()
            count = self._counted[version, filters] = self._count(filters)
        return count

    def _near_or_exact(self, queries: Vectors, count: int, filters: Filters, setting: Setting) -> list[Rows]:
        found = self._near(queries, count, filters, setting)
        short = [query for query, rows in enumerate(found) if len(rows) < count]
        if short:  # the partitions that were looked at hold too few behind the filter
            for query, rows in zip(short, self._nearest(queries[short], count, filters), strict=True):
                found[query] = rows
        return found

    def _search(self, queries: Vectors, top: int, filters: Filters, setting: Setting) -> list[list[Hit]]:
        """Answers with one setting."""
        found = self._ranked(queries, top, lambda some, count: self._near_or_exact(some, count, filters, setting))
        return [ranked.hits() for ranked in found]

    def _is_whole(self, queries: Vectors) -> bool:
        ends = np.cumsum((0, *self.info.sizes))
        return all(queries[:, start:end].any(1).all() for start, end in pairwise(ends))

    # --- what an engine supplies ---

    @abstractmethod
    def _build(self, show: Show) -> None:
        """Build the approximate index over all pictures, in place of an earlier one; whole or not at all.

        ``show`` is shown how far it is.
        """

    @abstractmethod
    def _near(self, queries: Vectors, count: int, filters: Filters, setting: Setting) -> list[Rows]:
        """As `_nearest`, by the approximate index; rows that it does not know yet are looked at all the same."""

    @abstractmethod
    def _sample(self, count: int) -> Rows:
        """Some pictures, drawn at random, the same ones each time; all if there are fewer."""


def middle(ids: Sequence[str], share: float) -> Filters:
    """What about such a share of the pictures passes: those in the middle of the order of ids.

    They often are of few classes, as with a filter that a person sets, so most queries are of other classes.

    Args:
        ids: of some pictures, drawn at random.
        share: above 0 and below 1.
    """
    ordered = sorted(ids)
    count = max(1, round(len(ordered) * share))
    first = min((len(ordered) - count) // 2, len(ordered) - 1)
    last = min(first + count, len(ordered) - 1)
    return (Filter("id", "text", bounds=(("at_least", ordered[first]), ("below", ordered[last]))),)


class Exactly:
    """An index whose every search looks at all pictures."""

    def __init__(self, index: Index) -> None:
        self._index = index

    @property
    def info(self) -> IndexInfo:
        return self._index.info

    def expected(self, queries: ArrayLike, where: Mapping[str, Any] | None = None) -> None:
        """Nothing is missed."""

    def ranked(self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None) -> list[Ranked]:
        return self._index.ranked(queries, top, where, exact=True)


def check_recall(index: Index, recall: float | None) -> None:
    """Raises `SearchError` if the engine has no approximate index, or the recall is out of range."""
    if recall is None:
        return
    if not 0 < recall <= 1:
        raise SearchError(f"recall {recall} is out of range", where="--recall", remedy="choose one of 0.9 to 1")
    if recall < 1 and not isinstance(index, ApproximateIndex):
        raise SearchError(
            f"the engine {index.info.engine} has no approximate index: all its searches are exact",
            where=index.folder,
            remedy="leave out --recall, or make a new index with the engine lancedb or milvus",
        )


def recall_of(found: Sequence[Sequence[Hit]], exact: Sequence[Sequence[Hit]], own: Sequence[str]) -> float:
    """Share of the exact nearest that were found; the query itself does not count, and of equal scores any does."""
    return float(np.mean([_share(*answers) for answers in zip(found, exact, own, strict=True)]))


def _share(found: Sequence[Hit], exact: Sequence[Hit], own: str) -> float:
    wanted = [hit.score for hit in exact if hit.id != own][:TOP]
    good = sum(hit.score >= wanted[-1] for hit in found if hit.id != own) if wanted else 0
    return min(good, len(wanted)) / len(wanted) if wanted else 1.0
