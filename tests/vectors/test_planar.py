"""A map of vectors: neighbours stay neighbours, the same input gives the same places, and too little is an error."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bier.errors import ConfigError, DataError
from bier.vectors.planar import STEPS, planar, principal, sample


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    """Three kinds of fifteen vectors."""
    generator = np.random.default_rng(0)
    centres = 4 * generator.normal(size=(3, 12))
    return np.repeat(centres, 15, 0).astype(np.float32) + generator.normal(size=(45, 12)).astype(np.float32)


def test_neighbours_stay_neighbours_and_a_seed_gives_the_same_places(clusters: np.ndarray) -> None:
    told: list[int] = []
    places = planar(clusters, 3, progress=told.append)
    assert places.shape == (45, 2)
    assert sum(told) == STEPS
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (np.arange(45) // 15 == distances.argmin(1) // 15).all()
    assert (planar(clusters, 3) == places).all()


def test_lengths_of_vectors_do_not_count(clusters: np.ndarray) -> None:
    longer = clusters * np.linspace(1, 9, 45, dtype=np.float32)[:, None]
    np.testing.assert_allclose(principal(longer), principal(clusters), atol=1e-5)


def test_equal_vectors_lie_side_by_side(clusters: np.ndarray) -> None:
    places = planar(np.repeat(clusters[:2], 10, 0))
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == 20


def test_of_many_pictures_some_are_drawn() -> None:
    assert sample(9, 10).tolist() == list(range(9))
    drawn = sample(1000, 10, seed=1)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == 10
    assert drawn.tolist() != sample(1000, 10, seed=2).tolist()


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.eye(3, dtype=np.float32), "a map of 3 pictures shows nothing\n  → give 10 pictures or more"),
        (np.ones((20, 4), np.float32), "all pictures have the same vector"),
    ],
)
def test_what_makes_no_map_is_said(vectors: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        planar(vectors, where="shop")


def test_a_missing_package_is_named(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(ConfigError, match=r"needs the package openTSNE\n  → pip install 'bier-dml\[map\]'"):
        planar(clusters)
