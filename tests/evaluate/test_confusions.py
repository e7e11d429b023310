"""Figures by class, and which classes are taken for one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bier.evaluate import evaluate_retrieval
from bier.evaluate.confusions import by_class


def pictures(labels: list[str]) -> list[dict[str, str]]:
    return [{"image": f"/{row}.jpg", "label": label} for row, label in enumerate(labels)]


def test_every_class_has_the_figures_of_its_queries() -> None:
    draw = np.random.default_rng(0)
    labels = [f"c{number % 10}" for number in range(200)]
    vectors = draw.normal(size=(200, 8)) + draw.normal(size=(10, 8))[np.arange(200) % 10]
    result = evaluate_retrieval(vectors, labels)
    found = by_class([torch.from_numpy(vectors)], labels, None, None, [1.0], result, pictures(labels))
    expected = result.per_class()
    assert {row["label"] for row in found["by_class"]} == set(expected)
    for row in found["by_class"]:
        figures = expected[row["label"]]
        got = [row[name] for name in ("queries", "recall_at_1", "map_at_r")]
        assert got == pytest.approx([figures[name] for name in ("queries", "recall@1", "map_at_r")])
    cosines = vectors @ vectors.T / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors, axis=1)[:, None]
    np.fill_diagonal(cosines, -1)
    first = [labels[row] for row in cosines.argmax(1)]
    wrong = [{one, other} for one, other in zip(labels, first, strict=True) if one != other]
    for confusion in found["confusions"]:
        pair = {picture["label"] for picture in confusion["pictures"]}
        assert sum(confusion["counts"]) == wrong.count(pair)
        assert confusion["queries"] == [20, 20]
    counts = [sum(confusion["counts"]) for confusion in found["confusions"]]
    assert counts == sorted(counts, reverse=True) and len(counts) == 12


def test_a_gallery_gives_the_wrong_hits_and_a_class_of_one_picture_counts_as_it_is_asked() -> None:
    query, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), ["a", "lone"]
    gallery, others = torch.tensor([[1.0, 0.1], [0.9, 0.5]]), ["b", "a"]
    for missing, classes in (("exclude", ["a"]), ("miss", ["a", "lone"])):
        result = evaluate_retrieval(query, labels, gallery=gallery, gallery_labels=others, missing=missing)
        asked = ([query], labels, [gallery], others, [1.0], result, pictures(labels), pictures(others))
        found = by_class(*asked)
        assert [row["label"] for row in found["by_class"]] == classes
        assert found["by_class"][0]["confused_with"] == "b"
        assert found["confusions"][0]["pictures"][1]["image"] == "/0.jpg", "of the gallery"


def test_one_class_alone_is_confused_with_nothing() -> None:
    vectors, labels = torch.ones(3, 2), ["a"] * 3
    result = evaluate_retrieval(vectors, labels)
    found = by_class([vectors], labels, None, None, [1.0], result, pictures(labels))
    assert found["confusions"] == []
    assert "confused_with" not in found["by_class"][0]
