"""Search in stages: the first learner's few dimensions find a shortlist, the whole embedding ranks it.

Only an ensemble of learners can do this: its vector begins with a smaller embedding that was trained to be searched by
on its own. Stage 1 scans the first learner of all n vectors, stage m ranks what is left by the first m learners
together, with the weights that they have in the whole, and hands a few on; the last stage gives the whole score. The
hits are approximate, their scores are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.search.base import Precision, Storage, Vectors

Chosen = NDArray[np.int64]

_QUERIES_AT_ONCE = 512
_SCORES_AT_ONCE = 2**21  # these and the next: what stays in a processor's cache
_PAIRS_AT_ONCE = 256
_SAMPLE = 32_768
"""Rows by which it is judged where a shortlist begins."""
_IN_SAMPLE = 32
"""Of a shortlist, at least: fewer would tell too little of that. So of a million no shortlist is below a thousand."""
_NARROWING = 5
_ROWS_OF_A_PRODUCT = 8192
_FEW = 1 / 16
"""Share of rows below which it pays to take them together before they are scored."""


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows, which never change."""

    vectors: Vectors
    """(n, D) retrieval vectors, float32 or float16."""
    first: Tensor
    """(d, n) the first learner's part of each, in the precision of the first stage."""

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Stages:
    """How vectors are cut into stages."""

    sizes: tuple[int, ...]
    """Dimensions of each learner."""
    precision: Precision = "float32"
    """Of the first stage alone. bfloat16 is faster on processors with instructions for it, and slower on others."""
    stored: Storage = "float32"
    """Of the vectors in memory."""

    def block(self, vectors: Vectors) -> Block:
        """A block of vectors, which are kept, not copied."""
        first = torch.from_numpy(vectors[:, : self.sizes[0]].astype(np.float32)).contiguous()
        if self.precision == "float32":  # a product with one query is twice as fast if each dimension lies together
            return Block(vectors, first.T.contiguous())
        return Block(vectors, first.to(getattr(torch, self.precision)).T)


class Cascade:
    """Stages over blocks of vectors, whose rows are counted through.

    Args:
        blocks: kept, not copied.
        stages: by which they were made.
    """

    def __init__(self, blocks: Sequence[Block], stages: Stages) -> None:
        self.blocks, self.stages = blocks, stages
        self.ends = np.cumsum(stages.sizes).tolist()
        self._starts = np.cumsum([0, *map(len, blocks)])
        self._sampled = np.arange(0, len(self), max(1, len(self) // _SAMPLE))
        self._sample = self._first(self._sampled) if len(self) else torch.empty(self.ends[0], 0)

    def __len__(self) -> int:
        return int(self._starts[-1])

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

    def exact(self, queries: Vectors, top: int, allowed: NDArray[np.bool_] | None = None) -> list[Chosen]:
        """For each query the rows of the ``top`` best of all, in some order."""
        best, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for start in range(0, len(self), _ROWS_OF_A_PRODUCT):
            own = np.arange(start, min(start + _ROWS_OF_A_PRODUCT, len(self)))
            own = own if allowed is None else own[allowed[own]]
            scores = np.concatenate([best, queries @ self.vectors(own).T], axis=1)
            numbers = np.concatenate([rows, np.tile(own, (len(queries), 1))], axis=1)
            kept = np.argpartition(-scores, min(top, scores.shape[1]) - 1, axis=1)[:, :top]
            best, rows = np.take_along_axis(scores, kept, axis=1), np.take_along_axis(numbers, kept, axis=1)
        return list(rows)

    def vectors(self, rows: Chosen) -> Vectors:
        """(n, D) of some rows, in any order."""
        order = np.argsort(rows, kind="stable")
        taken = np.empty((len(rows), self.ends[-1]), np.float32)
        for block, part, own in self._parts(rows[order]):
            taken[order[part]] = block.vectors[own]
        return taken

    def _shortlist(self, queries: Vectors, count: int, allowed: NDArray[np.bool_] | None) -> tuple[Chosen, Chosen]:
        """Pairs of row and query, about ``count`` for each query, in the order of the rows."""
        share = 1.0 if allowed is None else allowed.mean()
        if share * len(self) <= 2 * count:
            candidates = np.arange(len(self)) if allowed is None else np.flatnonzero(allowed)
            return np.repeat(candidates, len(queries)), np.tile(np.arange(len(queries)), len(candidates))
        asked = torch.tensor(queries[:, : self.ends[0]], dtype=self._sample.dtype)
        if allowed is not None and share < _FEW:
            candidates = np.flatnonzero(allowed)
            first = self._first(candidates)
            sample = asked @ first[:, :: max(1, len(candidates) // _SAMPLE)]
            bar = _bar(sample, count / len(candidates))
            own, query = _reaching(first, asked, bar)
            return candidates[own], query
        sample = asked @ self._sample
        if allowed is not None:
            sample = sample[:, torch.from_numpy(allowed[self._sampled])]
        bar = _bar(sample, count / (share * len(self)))
        found = [_reaching(block.first, asked, bar) for block in self.blocks]
        rows = np.concatenate([own + start for (own, _), start in zip(found, self._starts, strict=False)])
        query = np.concatenate([query for _, query in found])
        return (rows, query) if allowed is None else (rows[allowed[rows]], query[allowed[rows]])

    def _first(self, rows: Chosen) -> Tensor:
        """(d, n) the first learner's part of rows in ascending order."""
        taken = np.empty((len(rows), self.ends[0]), np.float32)
        for block, part, own in self._parts(rows):
            taken[part] = block.vectors[own, : self.ends[0]]
        return torch.from_numpy(taken).to(self.blocks[0].first.dtype).T

    def _scores(self, queries: Vectors, rows: Chosen, query: Chosen, end: int) -> Vectors:
        """Of each pair, by the first ``end`` dimensions. In the order of rows, memory is read once for all queries."""
        scores, asked = np.empty(len(rows), dtype=np.float32), queries[:, :end]
        for block, part, own in self._parts(rows):
            vectors = block.vectors[:, :end]
            for start in range(part.start, part.stop, _PAIRS_AT_ONCE):
                pairs = slice(start, min(start + _PAIRS_AT_ONCE, part.stop))
                some = vectors[own[start - part.start : pairs.stop - part.start]]
                scores[pairs] = np.vecdot(some.astype(np.float32, copy=False), asked[query[pairs]])
        return scores

    def _parts(self, rows: Chosen) -> Iterator[tuple[Block, slice, Chosen]]:
        """Of rows in ascending order: each block with some, their places among them, and their numbers within it."""
        cuts = np.searchsorted(rows, self._starts)
        for number, (begin, end) in enumerate(pairwise(cuts.tolist())):
            if begin < end:
                yield self.blocks[number], slice(begin, end), rows[begin:end] - self._starts[number]


def _reaching(first: Tensor, asked: Tensor, bar: Tensor) -> tuple[Chosen, Chosen]:
    """Pairs of row and query, of (d, n) and (q, d), whose score reaches the query's bar; in the order of the rows."""
    count = len(asked)
    step = _SCORES_AT_ONCE // count
    passed = [
        np.flatnonzero((asked @ first[:, start : start + step] >= bar[:, None]).T.numpy()) + start * count
        for start in range(0, first.shape[1], step)
    ]
    rows, query = np.divmod(np.concatenate(passed), count)
    return rows, query


def _bar(sample: Tensor, share: float) -> Tensor:
    """(q,) the score that about this share of all rows reach, judged by the scores (q, n) of a sample of them."""
    scores = sample.float().numpy()
    place = scores.shape[1] - min(max(_IN_SAMPLE, round(share * scores.shape[1])), scores.shape[1])
    return torch.from_numpy(np.partition(scores, place, axis=1)[:, place]).to(sample.dtype)


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
