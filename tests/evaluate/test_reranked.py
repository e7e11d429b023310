"""Figures after re-ranking, against rankings made one query at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bier.errors import ConfigError
from bier.evaluate.reranked import evaluate_reranked
from bier.evaluate.retrieval import Options
from bier.method.ensemble import boosting_weights, normalize
from bier.method.reranking import parse


def example(count: int, seed: int) -> tuple[list[torch.Tensor], list[int]]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 6
    centers = torch.Generator().manual_seed(99)
    looks = [torch.randn(6, size, generator=centers) for size in (4, 8)]
    return [look[labels] + torch.randn(count, look.shape[1], generator=generator) for look in looks], labels.tolist()


def whole(learners: list[torch.Tensor]) -> np.ndarray:
    return torch.cat([a**0.5 * normalize(z) for a, z in zip(boosting_weights(2), learners, strict=True)], 1).numpy()


@pytest.mark.parametrize("text", ["k-reciprocal,k1=8,k2=3,first=30", "alpha-qe,n=3,first=20", "dba,n=3,first=90"])
@pytest.mark.parametrize("own_gallery", [True, False])
def test_figures_are_those_of_the_new_order(text: str, own_gallery: bool) -> None:
    reranking = parse(text)
    learners, labels = example(60, 0)
    gallery, gallery_labels = (None, None) if own_gallery else example(80, 1)
    options = Options((1, 4), ("recall", "map_at_r", "map"))
    result = evaluate_reranked(learners, labels, gallery, gallery_labels, boosting_weights(2), reranking, options)
    queries, found = whole(learners), whole(learners if gallery is None else gallery)
    codes = np.array(labels if gallery_labels is None else gallery_labels)
    firsts, precisions = [], []
    for row, query in enumerate(queries):
        order = np.argsort(-(found @ query), kind="stable")
        order = order[order != row] if own_gallery else order
        pool, others = order[: reranking.first], order[reranking.first :]
        order = np.concatenate([pool[np.argsort(-reranking.scores(query, found[pool]), kind="stable")], others])
        ranks = np.flatnonzero(codes[order] == labels[row]) + 1
        firsts.append(ranks[0])
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    assert result.per_query["first_hit_rank"].tolist() == firsts
    assert result.per_query["average_precision"] == pytest.approx(np.array(precisions))
    assert result.recall[1] == np.mean(np.array(firsts) == 1)


def test_more_neighbours_than_pictures_are_refused() -> None:
    learners, labels = example(18, 0)
    with pytest.raises(ConfigError, match="takes 20 neighbours, and there are 17 pictures to search among"):
        evaluate_reranked(learners, labels, None, None, boosting_weights(2), parse("k-reciprocal"), Options())


def test_other_similarities_are_refused() -> None:
    learners, labels = example(18, 0)
    with pytest.raises(ConfigError, match="re-ranking is by cosine"):
        evaluate_reranked(
            learners, labels, None, None, boosting_weights(2), parse("alpha-qe"), Options(similarity="dot")
        )
