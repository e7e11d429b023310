"""Pictures of nothing."""

import numpy as np

from bier.confidence.strangers import KINDS, strangers


def test_strangers_are_alike_for_a_seed_and_differ_otherwise() -> None:
    first, again, other = (strangers(8, 48, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(np.asarray(first[1]), np.asarray(other[1]))
    assert {picture.size for picture in first} == {(48, 48)} and {picture.mode for picture in first} == {"RGB"}


def test_every_kind_can_be_made_in_every_size() -> None:
    for size in (8, 33, 224):
        for name, maker in KINDS.items():
            assert maker(size, np.random.default_rng(0)).size == (size, size), name
