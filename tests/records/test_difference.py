"""Chance is not taken for a difference, and a difference not for chance."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from bier.records.bits import packed, unpacked
from bier.records.difference import gain, mcnemar
from bier.records.metrics import Row

QUERIES = 1180


def row(right: np.ndarray | int, *, paired: bool = True, k: int = 1) -> Row:
    """A row of so many right queries, the first ones, or of these."""
    flags = np.arange(QUERIES) < right if isinstance(right, int) else right
    return Row(
        name="made",
        kind="ensemble",
        dimensions=8,
        recall={k: float(flags.mean())},
        map_at_r=None,
        r_precision=None,
        first_right=packed(flags) if paired else None,
    )


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1180])
def test_bits_come_back(count: int) -> None:
    flags = np.random.default_rng(count).random(count) < 0.5
    found = unpacked(packed(flags))
    assert found[:count].tolist() == flags.tolist()
    assert not found[count:].any()


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (0, 1), (0, 5), (0, 6), (3, 9), (10, 10), (40, 61)])
def test_the_probability_is_that_of_coins(lost: int, won: int) -> None:
    count = lost + won
    as_uneven = sum(comb(count, k) for k in range(count + 1) if abs(2 * k - count) >= won - lost)
    assert mcnemar(lost, won) == mcnemar(won, lost) == pytest.approx(as_uneven / 2**count)


def test_many_queries_are_no_trouble() -> None:
    assert mcnemar(20_000, 20_600) < 0.05 < mcnemar(20_000, 20_300)


def test_one_picture_of_many_is_no_difference() -> None:
    assert gain(row(1138), row(1137), QUERIES) == 0
    assert gain(row(1138, paired=False), row(1137, paired=False), QUERIES) == 0


def test_a_difference_has_a_direction() -> None:
    assert gain(row(1073), row(1125), QUERIES) == 1
    assert gain(row(1125), row(1073), QUERIES) == -1
    assert gain(row(1073, paired=False), row(1125, paired=False), QUERIES) == 1


def test_pairs_see_what_shares_alone_do_not() -> None:
    """Nine queries gained and none lost: plain in pairs, lost in the error of two shares."""
    assert gain(row(1000), row(1009), QUERIES) == 1
    assert gain(row(1000, paired=False), row(1009), QUERIES) == 0


def test_as_many_lost_as_won_is_no_difference() -> None:
    before, after = np.arange(QUERIES) < 600, np.arange(QUERIES) >= 570
    assert gain(row(before), row(after), QUERIES) == 0


def test_rows_without_a_common_k_are_not_compared() -> None:
    assert gain(row(10), row(1000, k=5), QUERIES) == 0
    assert gain(row(10, k=5), row(1000, k=5), QUERIES) == 1, "by shares, for other K than 1"
