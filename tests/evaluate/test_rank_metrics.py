"""What every metric over ranks must do, whoever brings it."""

from __future__ import annotations

import numpy as np
import pytest

from bier.evaluate import evaluate_retrieval
from bier.evaluate.metrics import METRICS, Figures, Indices

POSITIVES = np.array([3, 2, 0, 4])


def drawn() -> tuple[Indices, Indices, Indices]:
    """Ranks, nth and owner of the positives of four queries."""
    random = np.random.default_rng(0)
    ranks = np.concatenate([np.sort(random.choice(30, count, replace=False)) + 1 for count in POSITIVES])
    nth = np.concatenate([np.arange(1, count + 1) for count in POSITIVES])
    return ranks, nth, np.repeat(np.arange(len(POSITIVES)), POSITIVES)


def figures(name: str, ranks: Indices, nth: Indices, owner: Indices) -> Figures:
    return METRICS[name].formula(ranks, nth, owner, POSITIVES)


@pytest.mark.parametrize("name", list(METRICS))
def test_a_figure_for_each_query_and_nan_for_nothing_to_find(name: str) -> None:
    ranks, nth, owner = drawn()
    found = figures(name, ranks, nth, owner)
    assert found.shape == (4,)
    assert found.dtype == np.float64
    assert np.isnan(found).tolist() == [False, False, True, False]
    assert ((found[POSITIVES > 0] >= 0) & (found[POSITIVES > 0] <= 1)).all()
    assert figures(name, nth, nth, owner)[[0, 1, 3]].tolist() == [1, 1, 1], "all positives first"


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].needs == "at_r"])
def test_a_metric_at_r_does_not_look_beyond_r(name: str) -> None:
    ranks, nth, owner = drawn()
    beyond = np.where(ranks > POSITIVES[owner], 1000 + ranks, ranks)
    np.testing.assert_array_equal(figures(name, beyond, nth, owner), figures(name, ranks, nth, owner))


@pytest.mark.parametrize("name", list(METRICS))
def test_it_can_be_asked_for_alone_and_by_class(name: str) -> None:
    random = np.random.default_rng(1)
    labels = np.arange(60) % 6
    result = evaluate_retrieval(random.normal(size=(60, 8)) + labels[:, None], labels, metrics=[name])
    column = result.per_query[METRICS[name].column or name]
    assert result.figures == {name: pytest.approx(np.nanmean(column))}
    assert np.mean([figures[name] for figures in result.per_class().values()]) == pytest.approx(result.figures[name])
