"""Pictures with several labels: a hit is right that shares one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ensembles import Vectors

from bier.data.manifest import Manifest
from bier.evaluate import MATCHING, USUAL, evaluate_manifest, evaluate_retrieval, shared_label
from bier.method.reranking import parse

LABELS = ["red|round", "red", "round | small", "blue", "blue|small", "red|square"] * 5


def vectors() -> Vectors:
    outputs = torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(0))
    return Vectors([outputs], outputs.clone(), np.arange(len(LABELS)))


def manifest() -> Manifest:
    names = [f"{row}.jpg" for row in range(len(LABELS))]
    return Manifest.of(Path("/"), "table", image=names, label=LABELS, split=["test"] * len(names))


def shares(one: str, other: str) -> bool:
    return bool({part.strip() for part in one.split("|")} & {part.strip() for part in other.split("|")})


def test_rows_that_share_a_label_are_right() -> None:
    relevance = shared_label(["a|b", "c", ""], ["b", " a ", "c|d", "", "|"])
    found = relevance(np.array([0, 1, 2]), np.arange(5))
    assert found.tolist() == [
        [True, True, False, False, False],
        [False, False, True, False, False],
        [False, False, False, False, False],
    ]


def test_a_manifest_is_judged_by_shared_labels_in_every_part() -> None:
    made = vectors()
    asked = {"metrics": (*USUAL, "nmi"), "whole": MATCHING, "rerank": [parse("alpha-qe", "")]}
    report = evaluate_manifest(made, manifest(), [1.0], name="run", separator="|", **asked)
    unit = torch.nn.functional.normalize(made.learners[0].double(), dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    nearest = similarity.argmax(1).tolist()
    recall = np.mean([shares(LABELS[row], LABELS[hit]) for row, hit in enumerate(nearest)])
    assert report["rows"][0]["recall"]["1"] == pytest.approx(recall)
    plain = evaluate_retrieval(made.learners[0], LABELS)
    assert report["rows"][0]["recall"]["1"] > plain.recall[1]
    reranked = next(row for row in report["rows"] if row["kind"] == "reranked")
    assert reranked["recall"]["1"] > plain.recall[1]
    for entry in report["neighbours"]:
        for hit in entry["hits"]:
            assert hit["correct"] == shares(entry["query"]["label"], hit["label"])
    for confusion in report["confusions"]:
        assert not shares(*(picture["label"] for picture in confusion["pictures"]))
    assert set(report["not_measured"]) == {"nmi", *MATCHING}
    assert "verification" not in report["rows"][0] and "nmi" not in report["rows"][0]
    assert "shares a label" in report["conventions"][-1]


def test_single_labels_are_judged_as_without_a_separator() -> None:
    single, made = manifest(), vectors()
    single.label[:] = [label[0] for label in LABELS]
    with_it, without = (evaluate_manifest(made, single, [1.0], name="run", separator=sign) for sign in ("|", None))
    assert with_it["rows"] == without["rows"]
    assert with_it["neighbours"] == without["neighbours"] and with_it["confusions"] == without["confusions"]
