"""Several labels a picture, such as ``red|round``: a hit is right if it shares one of them with the query."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bier.data.several_labels import parts
from bier.evaluate.engine.exact import Relevance
from bier.evaluate.engine.table import Indices


def shared_label(
    labels: Iterable[object], gallery_labels: Iterable[object] | None = None, *, separator: str = "|"
) -> Relevance:
    """Which gallery rows share a label with which queries, for `evaluate_retrieval`'s ``relevance``.

    Args:
        labels: (n,) cells of the queries, each of one label or several.
        gallery_labels: (g,) likewise; none for the queries' own.
        separator: what stands between labels.
    """
    asked = [parts(label, separator) for label in labels]
    searched = asked if gallery_labels is None else [parts(label, separator) for label in gallery_labels]
    known = {part: code for code, part in enumerate(sorted({part for row in (*asked, *searched) for part in row}))}
    query, gallery = _marks(asked, known), _marks(searched, known)

    def relevance(queries: Indices, columns: Indices) -> NDArray[np.bool_]:
        shared: NDArray[np.bool_] = (query[queries] @ gallery[columns].T).toarray() > 0
        return shared

    return relevance


def _marks(rows: list[list[str]], known: dict[str, int]) -> csr_array:
    """(rows, labels), 1 where a row has a label."""
    row = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    column = np.array([known[part] for row in rows for part in row], dtype=np.int64)
    return csr_array((np.ones(len(row), dtype=np.int32), (row, column)), (len(rows), len(known)))
