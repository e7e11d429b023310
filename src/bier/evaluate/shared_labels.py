"""Several labels a picture, such as ``red|round``: a hit is right if it shares one of them with the query."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bier.data.several_labels import LabelSets
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
    asked = list(labels)
    sets = LabelSets.of(asked if gallery_labels is None else [*asked, *gallery_labels], separator)
    first = 0 if gallery_labels is None else len(asked)

    def relevance(queries: Indices, columns: Indices) -> NDArray[np.bool_]:
        return sets.shared(queries, columns + first)

    return relevance
