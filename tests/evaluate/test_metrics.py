"""The formulas on ranks that a person can check."""

from __future__ import annotations

import numpy as np
import pytest

from bier.evaluate.metrics.formulas import NO_POSITIVE, average_precision, average_precision_at_r, r_precision, recall


def test_formulas_by_hand() -> None:
    # R = 3: hits at 1 and 3, the one at 4 is too late. R = 2: one hit at 2. R = 3, all first. Nothing to find.
    ranks = np.array([1, 3, 4, 2, 9, 1, 2, 3])
    nth = np.array([1, 2, 3, 1, 2, 1, 2, 3])
    owner = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    positives = np.array([3, 2, 3, 0])
    at_r = average_precision_at_r(ranks, nth, owner, positives)
    assert at_r[:3].tolist() == pytest.approx([(1 + 2 / 3) / 3, (1 / 2) / 2, 1])
    assert r_precision(ranks, nth, owner, positives)[:3].tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    whole = average_precision(ranks, nth, owner, positives)
    assert whole[:3].tolist() == pytest.approx([(1 + 2 / 3 + 3 / 4) / 3, (1 / 2 + 2 / 9) / 2, 1])
    assert np.isnan([at_r[3], whole[3], r_precision(ranks, nth, owner, positives)[3]]).all()


def test_recall_by_hand() -> None:
    first_hit = np.array([1, 4, NO_POSITIVE, 2])
    assert [recall(first_hit, k) for k in (1, 2, 3, 4, 100)] == [0.25, 0.5, 0.5, 0.75, 0.75]
