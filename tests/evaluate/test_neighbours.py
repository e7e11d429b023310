"""The queries that a report shows, and their hits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bier.evaluate import evaluate_retrieval, neighbours


def pictures(count: int) -> list[dict[str, str]]:
    return [{"image": f"/{row}.jpg"} for row in range(count)]


def row_of(entry: dict[str, str]) -> int:
    return int(entry["image"][1:-4])


@pytest.mark.parametrize("count", [2, 3, 7, 40, 500])
def test_groups_are_apart_and_in_order(count: int) -> None:
    draw = np.random.default_rng(count)
    labels = np.arange(count) % max(1, count // 4)
    vectors = draw.normal(size=(count, 8)) + 1.5 * draw.normal(size=(count, 8))[labels]
    result = evaluate_retrieval(vectors, labels)
    entries = neighbours([torch.from_numpy(vectors)], labels, None, None, [1.0], result, pictures(count))
    groups = [entry["group"] for entry in entries]
    assert groups == sorted(groups, key=["worst", "typical", "best"].index)
    assert len({row_of(entry["query"]) for entry in entries}) == len(entries) == min(48, count)
    if count == 500:
        assert [groups.count(group) for group in ("worst", "typical", "best")] == [24, 12, 12]
        by_group = {name: [e["average_precision"] for e in entries if e["group"] == name] for name in set(groups)}
        precision = np.sort(result.per_query["average_precision_at_r"])
        assert by_group["worst"] == precision[:24].tolist()
        assert by_group["best"] == precision[-12:][::-1].tolist()
        assert abs(np.median(by_group["typical"]) - np.median(precision)) < 0.02


def test_hits_are_the_ranking_itself() -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 12
    vectors = draw.integers(-1, 2, size=(60, 3)).astype(float)
    vectors[~vectors.any(1)] = 1
    result = evaluate_retrieval(vectors, labels)
    for entry in neighbours([torch.from_numpy(vectors)], labels, None, None, [1.0], result, pictures(60), hits=60):
        row, hits = row_of(entry["query"]), entry["hits"]
        assert sorted([row, *map(row_of, hits)]) == list(range(60))  # all others, and never itself
        scores = [hit["score"] for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert [hit["correct"] for hit in hits].index(True) + 1 == entry["recall_rank"]  # ties included
        assert all(hit["correct"] == (labels[row_of(hit)] == labels[row]) for hit in hits)


def test_gallery_hits_come_from_the_gallery() -> None:
    gallery = [{"image": "/g0.jpg"}, {"image": "/g1.jpg"}]
    query, others, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.1], [0.0, 1.0]]), ["a", "b"]
    result = evaluate_retrieval(query, ["a"], gallery=others, gallery_labels=labels)
    (entry,) = neighbours([query], ["a"], [others], labels, [1.0], result, pictures(1), gallery)
    assert [(hit["image"], hit["correct"]) for hit in entry["hits"]] == [("/g0.jpg", True), ("/g1.jpg", False)]
    assert entry["hits"][0]["score"] == pytest.approx(1 / 1.01**0.5)


def test_the_best_and_the_typical_are_of_different_classes() -> None:
    labels = np.repeat(np.arange(20), 5)
    vectors = np.eye(20)[labels]  # every query is perfect
    result = evaluate_retrieval(vectors, labels)
    entries = neighbours([torch.from_numpy(vectors)], labels, None, None, [1.0], result, pictures(100))
    for group in ("best", "typical"):
        shown = [labels[row_of(entry["query"])] for entry in entries if entry["group"] == group]
        assert len(shown) == 12
        assert len(set(shown)) >= (12 if group == "best" else 7)
