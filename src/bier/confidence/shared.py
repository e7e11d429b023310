"""Pictures with several labels each, such as ``red|round``: which of them share one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


class SharedLabels:
    """The labels of numbered sets of labels.

    Args:
        sets: the text of each, by its number; anything but a text has no label.
        separator: what stands between the labels of a set.
    """

    def __init__(self, sets: Iterable[object], separator: str) -> None:
        from scipy.sparse import csr_array  # only where pictures have several labels: it takes a while

        self.separator = separator
        labels = [_labels(one, separator) for one in sets]
        number = {label: place for place, label in enumerate(dict.fromkeys(label for some in labels for label in some))}
        rows = np.repeat(np.arange(len(labels)), list(map(len, labels)))
        columns = np.array([number[label] for some in labels for label in some], dtype=np.int64)
        self._has = csr_array((np.ones(len(rows), dtype=np.int32), (rows, columns)), (len(labels), len(number)))

    @classmethod
    def numbered(cls, texts: Sequence[Sequence[Any]], separator: str) -> tuple[Codes, SharedLabels]:
        """Numbers for rows of texts, and what these share; -1 for None."""
        numbers: dict[Any, int] = {}
        codes = [[-1 if one is None else numbers.setdefault(one, len(numbers)) for one in row] for row in texts]
        return np.array(codes, dtype=np.int64), cls(numbers, separator)

    def same(self, one: Codes, other: Codes) -> Flags:
        """(n,) which pairs of numbers share a label."""
        found = np.zeros(len(one), dtype=bool)
        known = np.flatnonzero((one >= 0) & (other >= 0))
        found[known] = self._has[one[known]].multiply(self._has[other[known]]).sum(axis=1) > 0
        return found

    def among(self, rows: Codes) -> Flags:
        """(q, k, k) which numbers in each row of (q, k) share a label."""
        return np.stack([self._pairs(row) for row in rows]) if len(rows) else np.zeros((*rows.shape, 0), dtype=bool)

    def counts(self, ids: Codes, codes: Codes) -> Codes:
        """(q,), how many of the codes share a label with each id."""
        each = np.bincount(codes, minlength=self._has.shape[0])
        found, known = np.zeros(len(ids), dtype=np.int64), np.flatnonzero(ids >= 0)
        found[known] = ((self._has[ids[known]] @ self._has.T).toarray() > 0) @ each
        return found

    def halves(self, codes: Codes, classes: Codes, random: np.random.Generator, draws: int) -> list[Flags]:
        """As `bier.confidence.searching.halves`: labels are left out until half of what has one of these is gone."""
        labels = np.unique(self._has[np.unique(classes)].indices)
        has = self._has[codes][:, labels]
        related = has.sum(axis=1) > 0
        return [~_gone(has, random.permutation(len(labels)), related) for _ in range(draws)]

    def _pairs(self, row: Codes) -> Flags:
        labelled = row >= 0
        has = self._has[np.where(labelled, row, 0)]
        pairs: Flags = ((has @ has.T).toarray() > 0) & labelled & labelled[:, None]
        return pairs


def _gone(has: Any, order: Codes, related: Flags) -> Flags:
    """(n,) what has one of the first labels in an order, until that is half of what is related; something stays."""
    columns, gone = has.tocsc(), np.zeros_like(related)
    for label in order:
        if 2 * gone.sum() >= related.sum():
            break
        more = gone.copy()
        more[columns.indices[columns.indptr[label] : columns.indptr[label + 1]]] = True
        if (related & ~more).any():
            gone = more
    return gone


def _labels(one: object, separator: str) -> list[str]:
    parts = one.split(separator) if isinstance(one, str) else []
    return [part for part in dict.fromkeys(piece.strip() for piece in parts) if part]
