"""A map of vectors: two dimensions in which neighbours stay neighbours, by t-SNE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bier.errors import DataError
from bier.system.extras import need

MOST = 10_000
"""Points of a map. More take many minutes, and nobody can tell them apart."""
FEWEST = 10
"""Points, below which a map shows nothing."""

_PERPLEXITY = 30
_STEPS = 250
"""In each of the two phases: neighbours are first pulled together, then spread."""
_ACCURACY = 0.8
"""Angle from which a group of far points counts as one. 0.5 takes a third longer and keeps as many neighbours."""
STEPS = 2 * _STEPS
"""Of one map."""
_TELL = 50
_SMALL = 1e-4
"""Spread of the start; t-SNE wants it small."""

Points = NDArray[np.float32]


def sample(count: int, most: int = MOST, seed: int = 0) -> NDArray[np.int64]:
    """Rows that are drawn, ascending: all of them, or as many as a map holds."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def check_count(count: int, where: object) -> None:
    """Raise DataError where there are too few pictures for a map."""
    if count < FEWEST:
        raise DataError(
            f"a map of {count} picture{'s' * (count != 1)} shows nothing",
            where=where,
            remedy=f"give {FEWEST} pictures or more",
        )


def planar(
    vectors: NDArray[np.float32],
    seed: int = 0,
    *,
    where: object = None,
    progress: Callable[[int], object] = lambda steps: None,
) -> Points:
    """Places on a plane (n, 2) where near vectors stay near; the same vectors and seed give the same places.

    Nearness is the cosine. The start is the two principal components, so the map as a whole has a meaning, too.

    Args:
        vectors: (n, D), finite and not zero, `FEWEST` to `MOST` of them.
        seed: separates vectors that are equal.
        where: what messages call them.
        progress: called with the number of steps since the last call, `STEPS` in all.

    Raises:
        ConfigError: the package openTSNE is not installed.
        DataError: there are too few vectors, or all of them are the same.
    """
    check_count(len(vectors), where)
    if (vectors == vectors[0]).all():
        raise DataError(
            "all pictures have the same vector, so there is no map", where=where, remedy="look at the files"
        )

    def tell(*_: object) -> bool:
        progress(_TELL)
        return False

    placed = need("openTSNE", "map").TSNE(
        perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
        metric="cosine",
        neighbors="exact",
        negative_gradient_method="bh",
        theta=_ACCURACY,
        early_exaggeration_iter=_STEPS,
        n_iter=_STEPS,
        initialization=_start(vectors, seed),
        callbacks=tell,
        callbacks_every_iters=_TELL,
        random_state=seed,
        n_jobs=1,  # several threads add in another order each time
    )
    return np.asarray(placed.fit(vectors), dtype=np.float32)


def principal(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 2): the two principal components of directions, the larger first; the largest weight of each is positive."""
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = (directions - directions.mean(0)).astype(np.float64)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    signs = np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])
    found = centred @ (axes * signs)
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def _start(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    components = principal(vectors)
    aside = np.random.default_rng(seed).normal(scale=_SMALL / 100, size=components.shape)
    spread = components[:, 0].std() or 1
    return np.ascontiguousarray(components / spread * _SMALL + aside)
