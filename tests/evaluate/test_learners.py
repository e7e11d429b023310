"""Ensemble, learners and prefixes; correlation between learners and between dimensions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bier.errors import DataError
from bier.evaluate import evaluate_learners, evaluate_retrieval, feature_correlation, learner_correlation
from bier.evaluate.learners import _pairs, weight_shares
from bier.method.ensemble import EmbeddingEnsemble, boosting_weights, normalize


def some_learners(count: int = 200, sizes: tuple[int, ...] = (4, 8, 12), seed: int = 0) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 20
    centers = [torch.randn(20, size, generator=generator) for size in sizes]
    return [normalize(c[labels] + torch.randn(count, c.shape[1], generator=generator)) for c in centers], labels


def test_rows_of_ensemble_learners_and_prefixes() -> None:
    learners, labels = some_learners()
    rows = evaluate_learners(learners, boosting_weights(3), labels)
    assert [(row["kind"], row["learners"], row["dimensions"]) for row in rows] == [
        ("ensemble", [0, 1, 2], 24),
        ("learner", [0], 4),
        ("learner", [1], 8),
        ("learner", [2], 12),
        ("prefix", [0], 4),
        ("prefix", [0, 1], 12),
        ("prefix", [0, 1, 2], 24),
    ]
    single = evaluate_retrieval(learners[1], labels)
    assert rows[2]["recall"] == {str(k): value for k, value in single.recall.items()}
    assert rows[2]["map_at_r"] == single.map_at_r
    assert rows[4]["recall"] == rows[1]["recall"]
    assert rows[6]["recall"] == rows[0]["recall"]
    assert len({row["map_at_r"] for row in rows}) == 5
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize("weighting", ["boosting", "size", "equal"])
def test_rows_are_what_the_head_itself_gives(weighting: Any) -> None:
    head = EmbeddingEnsemble(16, (4, 8, 12), weighting=weighting)
    features, labels = torch.randn(60, 16, generator=torch.Generator().manual_seed(1)), np.arange(60) % 6
    with torch.no_grad():
        outputs = head.learners(features)
        rows = evaluate_learners(outputs, head.scales() ** 2, labels)
        for m, row in enumerate(rows[4:], 1):
            expected = evaluate_retrieval(head(features, m), labels, similarity="dot")
            assert row["map_at_r"] == pytest.approx(expected.map_at_r, abs=1e-9)


def test_gallery_of_learners() -> None:
    learners, labels = some_learners()
    halves = [z[:50] for z in learners], [z[50:] for z in learners]
    rows = evaluate_learners(
        halves[0], [0.2, 0.3, 0.5], labels[:50], gallery=halves[1], gallery_labels=labels[50:], recall_at=(1, 3)
    )
    expected = evaluate_retrieval(halves[0][2], labels[:50], gallery=halves[1][2], gallery_labels=labels[50:])
    assert rows[3]["recall"]["1"] == expected.recall[1]
    assert list(rows[0]["recall"]) == ["1", "3"]


@pytest.mark.parametrize("alpha", [[0.5, -0.5], [0.0, 0.0], [float("nan"), 1.0]])
def test_bad_weights_are_named(alpha: list[float]) -> None:
    with pytest.raises(DataError, match="of the learners"):
        weight_shares(alpha)


def test_learner_correlation_is_pearsons_over_all_pairs() -> None:
    learners, _ = some_learners(40)
    upper = np.triu_indices(40, 1)
    scores = [(z @ z.T).numpy()[upper] for z in learners]
    np.testing.assert_allclose(learner_correlation(learners), np.corrcoef(scores), atol=1e-6)


def test_learner_correlation_of_a_sample_is_near_and_seeded() -> None:
    learners, _ = some_learners(300)
    learners.append(learners[0])
    exact = learner_correlation(learners)
    sample = learner_correlation(learners, pairs=20_000, seed=1)
    assert exact[0, 3] == sample[0, 3] == 1
    np.testing.assert_allclose(sample, exact, atol=0.05)
    np.testing.assert_array_equal(sample, learner_correlation(learners, pairs=20_000, seed=1))
    assert (sample != learner_correlation(learners, pairs=20_000, seed=2)).any()


def test_no_image_is_paired_with_itself() -> None:
    for count, most in ((2, 1), (10, 45), (10, 44), (300, 20_000)):
        first, second = _pairs(count, most, seed=0)
        assert len(first) == min(most, count * (count - 1) // 2)
        assert (first != second).all()
        assert max(first.max(), second.max()) == count - 1


def test_a_collapsed_learner_correlates_with_none() -> None:
    learners, _ = some_learners(30)
    learners[1] = normalize(torch.full((30, 8), 0.3))
    correlation = learner_correlation(learners)
    assert correlation[1].tolist() == [0, 1, 0]
    assert np.isfinite(correlation).all()


def test_feature_correlation_within_and_between() -> None:
    outputs = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    outputs[:, 4] = 3  # a dead dimension
    expected = np.abs(np.corrcoef(outputs[:, :4].numpy().T))
    figures = feature_correlation(outputs, (2, 3))
    assert figures["within_learners_mean_abs"] == pytest.approx((expected[0, 1] + expected[2, 3]) / 4)
    assert figures["between_learners_mean_abs"] == pytest.approx(expected[:2, 2:4].sum() / 6)
    assert figures["features_mean_abs"] == pytest.approx((expected[np.triu_indices(4, 1)]).sum() / 10)
    assert feature_correlation(outputs, (5,))["between_learners_mean_abs"] is None
