"""Heads that start from learned whitening."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bier import EmbeddingEnsemble, evaluate_retrieval
from bier.errors import DataError
from bier.method.whitening import whiten


def photographs(classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (8 a class, 40) whose loudest directions say nothing of the class, all of them far from 0."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(8)
    centres = torch.randn(classes, 40, generator=generator) * torch.linspace(0.2, 1, 40)
    noise = torch.randn(8 * classes, 40, generator=generator) * torch.linspace(1.5, 0.3, 40)
    return centres[labels] + noise + 3, labels


def recall(vectors: torch.Tensor, labels: torch.Tensor) -> float:
    return evaluate_retrieval(vectors, labels).recall[1]


@pytest.mark.parametrize("sizes", [(8, 12, 16), (60,)], ids=["fewer outputs than features", "more"])
def test_unseen_classes_are_found_better_than_by_the_features(sizes: tuple[int, ...]) -> None:
    head = EmbeddingEnsemble(40, sizes)
    features, labels = photographs(60, seed=1)
    before = recall(head(features), labels)
    whiten(head, *photographs(60, seed=0))
    assert recall(head(features), labels) > recall(features - features.mean(0), labels) + 0.05 > before


def test_power_0_keeps_the_cosines_of_centred_features() -> None:
    features, labels = photographs(20, seed=0)
    head = EmbeddingEnsemble(40, (40,))
    whiten(head, features, labels, power=0)
    cosines = F.normalize(features - features.mean(0)) @ F.normalize(features - features.mean(0)).T
    vectors = head(features)
    torch.testing.assert_close(vectors @ vectors.T, cosines, rtol=0, atol=1e-4)


def test_power_1_makes_the_scatter_within_classes_round() -> None:
    features, labels = photographs(60, seed=0)
    head = EmbeddingEnsemble(40, (40,))
    whiten(head, features, labels, power=1, shrinkage=0)
    (outputs,) = head.learners(features)
    within = outputs - torch.stack([outputs[labels == label].mean(0) for label in labels])
    scatter = (within.T @ within / len(within)).detach().numpy()
    np.testing.assert_allclose(scatter / scatter.trace() * 40, np.eye(40), atol=1e-3)
    assert outputs.mean(0).abs().max() < 1e-3


def test_the_seed_decides_and_the_learners_are_alike() -> None:
    features, labels = photographs(60, seed=0)
    heads = []
    for seed in (0, 0, 1):
        heads.append(EmbeddingEnsemble(40, (12, 12)))
        whiten(heads[-1], features, labels, seed=seed)
    assert torch.equal(heads[0].linear.weight, heads[1].linear.weight)
    assert not torch.allclose(heads[0].linear.weight, heads[2].linear.weight)
    one, other = (recall(outputs, labels) for outputs in heads[0].learners(features))
    assert abs(one - other) < 0.08


def test_features_that_cannot_be_whitened() -> None:
    head = EmbeddingEnsemble(40, (4, 8))
    before = head.linear.weight.clone()
    features, labels = photographs(4, seed=0)
    features[3, 2] = torch.nan
    for given in (features, features[:1]):
        with pytest.raises(DataError, match=r"at least two images[\s\S]*random weights"):
            whiten(head, given, labels[: len(given)])
    assert torch.equal(head.linear.weight, before)
    whiten(head, torch.ones(5, 40), torch.arange(5))  # nothing varies: no NaN
    assert head.linear.weight.isfinite().all()


def test_without_labels_every_direction_counts_the_same() -> None:
    features, _ = photographs(60, seed=0)
    head = EmbeddingEnsemble(40, (40,))
    whiten(head, features, None, power=1, shrinkage=0)
    (outputs,) = head.learners(features)
    scatter = (outputs.T @ outputs / len(outputs)).detach().numpy()
    np.testing.assert_allclose(scatter / scatter.trace() * 40, np.eye(40), atol=1e-3)


def test_without_labels_the_leading_directions_are_kept() -> None:
    features, _ = photographs(60, seed=0)
    head = EmbeddingEnsemble(40, (10,))
    whiten(head, features, None)
    centred = (features - features.mean(0)).double()
    leading = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -10:]
    kept = torch.linalg.qr(head.linear.weight.detach().double().T).Q
    assert torch.linalg.svdvals(kept.T @ leading).min() > 0.999


def test_where_divide_and_conquer_fails_it_is_whitened_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    head, other = EmbeddingEnsemble(40, (8, 12)), EmbeddingEnsemble(40, (8, 12))
    features, labels = photographs(60, seed=0)
    whiten(head, features, labels)

    def fail(symmetric: torch.Tensor) -> None:
        raise torch.linalg.LinAlgError("failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    whiten(other, features, labels)
    metrics = [each.linear.weight.T @ each.linear.weight for each in (head, other)]  # signs of directions are free
    torch.testing.assert_close(metrics[0], metrics[1], atol=1e-5, rtol=1e-4)
