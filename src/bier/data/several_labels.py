"""Pictures with several labels each: which of them share one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bier.data.label_cells import parts
from bier.data.manifest import Manifest
from bier.errors import DataError

Indices = NDArray[np.int64]


class LabelSets:
    """Which labels each row of a table has. Two rows are alike if they share one.

    Args:
        rows: the labels of each row.
        untold: labels that nobody is to learn. Of rows that share only such ones, nothing is known.

    Attributes:
        names: all labels, in order.
    """

    def __init__(self, rows: Iterable[Sequence[str]], untold: Set[str] = frozenset()) -> None:
        sets = [list(dict.fromkeys(row)) for row in rows]
        self.names = sorted({label for row in sets for label in row})
        code = {label: number for number, label in enumerate(self.names)}
        row = np.repeat(np.arange(len(sets)), [len(labels) for labels in sets])
        column = np.array([code[label] for labels in sets for label in labels], dtype=np.int64)
        shape = (len(sets), len(self.names))
        self._has = csr_array((np.ones(len(row), dtype=np.int32), (row, column)), shape)
        self._entries = row, column
        self._told = np.array([label not in untold for label in self.names], dtype=bool)

    @classmethod
    def of(cls, cells: Iterable[object], separator: str, untold: Set[str] = frozenset()) -> LabelSets:
        """Of cells that hold labels between separators."""
        return cls((parts(cell, separator) for cell in cells), untold)

    def entries(self) -> tuple[Indices, Indices]:
        """Row and label of each label that a row has and that is told, row after row: (e,) and (e,)."""
        row, column = self._entries
        told = self._told[column]
        return row[told], column[told]

    def shared(self, rows: Indices, others: Indices) -> NDArray[np.bool_]:
        """Which of some rows (a,) share a label with which others (b,): (a, b)."""
        shared: NDArray[np.bool_] = (self._has[rows] @ self._has[others].T).toarray() > 0
        return shared

    def among(self, rows: Indices) -> NDArray[np.int8]:
        """How some rows (n,) relate: 1 if they share a label, else 0, (n, n); a row is like itself.

        It is -1 where they share only labels that are not told.
        """
        relations = self.shared(rows, rows).astype(np.int8)
        if not self._told.all():
            told = self._has[rows][:, self._told]
            relations[(relations == 1) & ((told @ told.T).toarray() == 0)] = -1
        np.fill_diagonal(relations, 1)
        return relations


def label_entries(manifest: Manifest, separator: str | None) -> tuple[Indices, Indices]:
    """Row and class of each label of each picture, (e,) and (e,); without a separator each picture has one label.

    Labels that are held out from training (`Manifest.untold`) are left out, but for pictures of the split ``val``.
    """
    if separator is None:
        return np.arange(len(manifest)), manifest.codes()
    sets = LabelSets.of(manifest.label, separator)
    rows, classes = sets.entries()
    if not manifest.untold:
        return rows, classes
    told = np.array([name not in manifest.untold for name in sets.names], dtype=bool)
    kept = told[classes] | (manifest.split == "val")[rows]
    return rows[kept], np.unique(classes[kept], return_inverse=True)[1]


def label_sets(manifest: Manifest, separator: str) -> LabelSets:
    """The labels of training pictures, as far as training is told of them."""
    return LabelSets.of(manifest.label, separator, manifest.untold)


def checked_sets(manifest: Manifest, separator: str) -> LabelSets:
    """The labels of pictures to learn from.

    Raises:
        DataError: a picture has none, or all pictures share one.
    """
    sets = label_sets(manifest, separator)
    rows, codes = sets.entries()
    without = np.flatnonzero(np.bincount(rows, minlength=len(manifest)) == 0)
    if len(without):
        raise DataError(
            f"{len(without):,} pictures have no label, {manifest.reference(int(without[0]))} among them",
            where=manifest.source,
            remedy=f"give each a label beside the separator {separator!r}",
        )
    counts = np.bincount(codes)
    if counts.max() == len(manifest):
        raise DataError(
            f"every picture has the label {sets.names[int(counts.argmax())]!r}, so all count as alike",
            where=manifest.source,
            remedy="leave this label out, or leave out data.label_separator",
        )
    return sets
