"""What a search found for each query, as far as it tells how sure the answer is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bier.confidence.shared import SharedLabels

HITS = 50
"""Of each query that are looked at. More do no harm, fewer are an index of fewer pictures."""

NO_LABEL = -1
"""Code of a hit whose label is not known, and of a place without a hit."""

_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The first hits of q queries, best first.

    Where a query has fewer hits than others, its ``scores`` end with NaN.
    """

    scores: NDArray[np.float32]
    """(q, k), dot products of the whole embedding."""
    labels: NDArray[np.int64] | None = None
    """(q, k), equal numbers for equal labels and `NO_LABEL` for none; None: an index without labels."""
    learner_scores: NDArray[np.float32] | None = None
    """(q, k, M), cosines of each learner; None: the vectors are not at hand."""
    among: NDArray[np.float32] | None = None
    """(q, k, k), dot products of the hits with one another, of the whole embedding; None likewise."""
    queries: NDArray[np.float32] | None = None
    """(q, D), the vectors of the queries; None likewise."""
    same: NDArray[np.bool_] | None = None
    """(q, k, k), which hits share a label; None: those with equal ``labels``."""

    @classmethod
    def of(
        cls,
        scores: Any,
        labels: Sequence[Sequence[Any]] | NDArray[np.int64] | None = None,
        *,
        queries: NDArray[np.float32] | None = None,
        hits: NDArray[np.float32] | None = None,
        sizes: Sequence[int] = (),
        shared: SharedLabels | None = None,
    ) -> Neighbours:
        """The neighbours of queries, from what an index answers.

        Args:
            scores: (q, k), best first, NaN where there is no hit.
            labels: (q, k), texts, None where a hit has none; or codes as in ``labels`` above; None: no hit has one.
            queries: (q, D), the vectors of the queries.
            hits: (q, k, D), the stored vectors of the hits; any finite numbers where there is no hit.
            sizes: (M,), dimensions of each learner in the vectors.
            shared: which codes share a label, where pictures have several; ``labels`` are codes then.
        """
        found = np.asarray(scores, dtype=np.float32)[:, :HITS]
        one = cls(found, None if labels is None else _codes(labels, found.shape))
        if shared is not None and one.labels is not None:
            one = replace(one, same=shared.among(one.labels))
        if queries is None or hits is None or not found.size:
            return one
        hits = np.asarray(hits[:, :HITS], dtype=np.float32)
        return replace(
            one,
            learner_scores=_by_learner(queries, hits, sizes),
            among=hits @ hits.transpose(0, 2, 1),
            queries=queries,
        )

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[Any]) -> Neighbours:
        """Those of some queries."""
        parts = (self.scores, self.labels, self.learner_scores, self.among, self.queries, self.same)
        return Neighbours(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]


def _codes(labels: Sequence[Sequence[Any]] | NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "i":
        return labels[:, : shape[1]].astype(np.int64)
    numbers: dict[Any, int] = {None: NO_LABEL}
    codes = np.full(shape, NO_LABEL, dtype=np.int64)
    for row, given in zip(codes, labels, strict=True):
        known = [numbers.setdefault(label, len(numbers)) for label in list(given)[: shape[1]]]
        row[: len(known)] = known
    return codes


def _by_learner(queries: NDArray[np.float32], hits: NDArray[np.float32], sizes: Sequence[int]) -> NDArray[np.float32]:
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(np.split(queries, cuts, axis=-1), np.split(hits, cuts, axis=-1), strict=True)
    cosines = [np.einsum("qd,qkd->qk", _unit(query), _unit(hit)) for query, hit in parts]
    return np.stack(cosines, axis=-1)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, _SMALLEST)
    return unit
