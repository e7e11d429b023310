"""Search in stages: the first learner's few dimensions find a shortlist, the whole embedding ranks it.

Only an ensemble of learners can do this: its vector begins with a smaller embedding that was trained to be searched by
on its own. Stage 1 scans the first learner of all n vectors, stage m ranks what is left by the first m learners
together, with the weights that they have in the whole, and hands a few on; the last stage gives the whole score. The
hits are approximate, their scores are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bier.errors import SearchError
from bier.search.base import Hit, Index, Ranked, Rows, Vectors
from bier.search.filters import Filters, passing

Precision = Literal["float32", "bfloat16"]
Chosen = NDArray[np.int64]

_QUERIES_AT_ONCE = 512
_SCORES_AT_ONCE = 2**21  # these and the next: what stays in a processor's cache
_PAIRS_AT_ONCE = 256
_SAMPLE = 4096
_IN_SAMPLE = 32  # of a shortlist, at least: fewer would tell too little of where it begins
_NARROWING = 5


class Cascade:
    """Stages over an array of vectors.

    Args:
        vectors: (n, D) retrieval vectors, finite; kept, not copied.
        sizes: (M,) dimensions of each learner.
        precision: of the first stage alone. bfloat16 is faster on processors with instructions for it.
    """

    def __init__(self, vectors: Vectors, sizes: Sequence[int], precision: Precision = "float32") -> None:
        self.vectors = vectors
        self.ends = np.cumsum(sizes).tolist()
        first = torch.from_numpy(vectors[:, : sizes[0]])
        self._first = first.to(getattr(torch, precision)).contiguous()

    def nearest(
        self, queries: Vectors, top: int = 10, shortlist: int = 1000, allowed: NDArray[np.bool_] | None = None
    ) -> list[tuple[Chosen, Vectors]]:
        """For each query (q, D) the rows of the ``top`` best, best first, and their scores.

        Args:
            queries: weighted as the vectors are, all learners.
            top: rows per query.
            shortlist: about how many the first learner hands on; each further learner a fifth of that.
            allowed: (n,) rows that may be found, all by default.
        """
        found: list[tuple[Chosen, Vectors]] = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            block = queries[start : start + _QUERIES_AT_ONCE]
            rows, query = self._shortlist(block, max(shortlist, top), allowed)
            for stage, end in enumerate(self.ends[1:], start=1):
                scores = self._scores(block, rows, query, end)
                last = end == self.ends[-1]
                kept = _best(scores, query, top if last else max(shortlist // _NARROWING**stage, top))
                rows, query, scores = rows[kept], query[kept], scores[kept]
            found += _by_query(len(block), rows, query, scores)
        return found

    def _shortlist(self, queries: Vectors, count: int, allowed: NDArray[np.bool_] | None) -> tuple[Chosen, Chosen]:
        """Pairs of row and query, about ``count`` for each query, in the order of the rows."""
        candidates = np.arange(len(self.vectors)) if allowed is None else np.flatnonzero(allowed)
        if len(candidates) <= 2 * count:
            return np.repeat(candidates, len(queries)), np.tile(np.arange(len(queries)), len(candidates))
        first = self._first if allowed is None else self._first[torch.from_numpy(candidates)]
        asked = torch.from_numpy(queries[:, : self.ends[0]]).to(first.dtype).T
        bar = _bar(first, asked, count)
        step = _SCORES_AT_ONCE // len(queries)
        passed = [
            np.flatnonzero((first[start : start + step] @ asked >= bar).numpy()) + start * len(queries)
            for start in range(0, len(first), step)
        ]
        rows, query = np.divmod(np.concatenate(passed), len(queries))
        return candidates[rows], query

    def _scores(self, queries: Vectors, rows: Chosen, query: Chosen, end: int) -> Vectors:
        """Of each pair, by the first ``end`` dimensions. In the order of rows, memory is read once for all queries."""
        scores = np.empty(len(rows), dtype=np.float32)
        vectors, asked = self.vectors[:, :end], queries[:, :end]
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            scores[part] = np.vecdot(vectors[rows[part]], asked[query[part]])
        return scores


def _bar(first: Tensor, asked: Tensor, count: int) -> Tensor:
    """(q,) the score that about ``count`` rows reach, judged by a sample of them."""
    size = max(_SAMPLE, _IN_SAMPLE * len(first) // count)
    sample = (asked.T @ first[:: max(1, len(first) // size)].T).float().numpy()
    place = sample.shape[1] - max(1, round(count * sample.shape[1] / len(first)))
    return torch.from_numpy(np.partition(sample, place, axis=1)[:, place]).to(first.dtype)


def _best(scores: Vectors, query: Chosen, count: int) -> Chosen:
    """Positions of each query's ``count`` highest scores, in ascending order."""
    kept = []
    for positions in _groups(query):
        if len(positions) > count:
            positions = positions[np.argpartition(scores[positions], len(positions) - count)[-count:]]
        kept.append(positions)
    return np.sort(np.concatenate(kept))


def _groups(query: Chosen) -> list[Chosen]:
    """Positions of each query, in ascending order."""
    order = np.argsort(query.astype(np.uint16), kind="stable")  # a radix sort
    return np.split(order, np.cumsum(np.bincount(query))[:-1])


def _by_query(count: int, rows: Chosen, query: Chosen, scores: Vectors) -> list[tuple[Chosen, Vectors]]:
    if not len(rows):
        return [(rows, scores)] * count
    order = [positions[np.argsort(-scores[positions], kind="stable")] for positions in _groups(query)]
    return [(rows[positions], scores[positions]) for positions in order]


class StagedSearch:
    """Searches an index in stages, from memory; a snapshot of the index as it was when this was made.

    Args:
        index: all its vectors are read, 4 bytes a dimension.
        shortlist: about how many pictures the first learner hands on; more is slower and finds more.
        precision: of the first stage.

    Raises:
        SearchError: the index holds one learner only.
    """

    def __init__(self, index: Index, shortlist: int = 1000, precision: Precision = "float32") -> None:
        if len(index.info.sizes) < 2:
            raise SearchError(
                "has one learner only: there are no stages", where=index.folder, remedy="search it without stages"
            )
        batches = list(index.scan())
        self.info = index.info
        self._index = index
        self._shortlist = shortlist
        self._ids = [name for rows in batches for name in rows.ids]
        self._metadata = [metadata for rows in batches for metadata in rows.metadata]
        empty = np.zeros((0, index.info.dimensions), dtype=np.float32)
        vectors = np.concatenate([empty, *(rows.vectors for rows in batches)])
        self._cascade = Cascade(vectors, index.info.sizes, precision)

    def search(self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None) -> list[list[Hit]]:
        """As `Index.search`, for whole queries: the hits may miss some of the best, the scores are exact."""
        return [ranked.hits() for ranked in self.ranked(queries, top, where)]

    def ranked(self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None) -> list[Ranked]:
        """As `search`, with the stored vectors."""
        asked, filters = self._index.checked_query(queries, top, where)
        found = self._cascade.nearest(asked, top, self._shortlist, self._allowed(filters))
        return [Ranked.of(query, self._rows(rows)) for query, (rows, _) in zip(asked, found, strict=True)]

    def _rows(self, rows: Chosen) -> Rows:
        metadata = [dict(self._metadata[row]) for row in rows]
        return Rows([self._ids[row] for row in rows], self._cascade.vectors[rows], metadata)

    def _allowed(self, filters: Filters) -> NDArray[np.bool_] | None:
        if not filters:
            return None
        passes = passing(filters)
        return np.array([passes(row) for row in self._metadata], bool)
