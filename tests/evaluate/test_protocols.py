"""From a model's vectors to metrics.json, under each protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ensembles import Vectors

from bier.data.manifest import Manifest
from bier.errors import DataError, ImageError
from bier.evaluate import MATCHING, USUAL, evaluate_manifest, evaluate_retrieval
from bier.evaluate.protocols import trials
from bier.method.ensemble import boosting_weights, normalize
from bier.records.bits import packed


def example(splits: list[str], protocol: str = "self", classes: int = 6) -> tuple[Vectors, Manifest]:
    """Two learners on rows in shuffled order, with the first row of the manifest unreadable."""
    count = len(splits)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    index = torch.randperm(count, generator=generator)
    index = index[index != 0]
    outputs = [
        torch.randn(classes, size, generator=generator)[labels] + torch.randn(count, size, generator=generator)
        for size in (4, 8, 16)
    ]
    manifest = Manifest.of(
        Path("/pictures"),
        "example",
        image=[f"{row}.jpg" for row in range(count)],
        label=[f"class {label}" for label in labels],
        split=splits,
        name=[f"name {label}" for label in labels],
        protocol=protocol,
    )
    failed = [ImageError("not a picture", where="/pictures/0.jpg")]
    return Vectors([z[index] for z in outputs[:2]], outputs[2][index], index.numpy(), failed), manifest


def run(vectors: Vectors, manifest: Manifest, **options: Any) -> dict[str, Any]:
    report = evaluate_manifest(vectors, manifest, boosting_weights(2), name="run", **options)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    return report


def test_self_retrieval_of_the_test_split() -> None:
    vectors, manifest = example(["train"] * 30 + ["test"] * 60)
    report = run(vectors, manifest, recall_at=(1, 5))
    rows = manifest.split[vectors.index] == "test"
    labels = manifest.label[vectors.index][rows]
    weighed = zip(boosting_weights(2), vectors.learners, strict=True)
    ensemble = torch.cat([alpha**0.5 * normalize(outputs[rows]) for alpha, outputs in weighed], dim=1)
    expected = evaluate_retrieval(ensemble, labels)
    first, last = report["rows"][0], report["rows"][-1]
    assert first["recall"]["1"] == expected.recall[1]
    assert first["map_at_r"] == expected.map_at_r
    features = evaluate_retrieval(vectors.features[rows], labels, recall_at=(1, 5))
    assert last == {
        "name": "backbone features",
        "kind": "features",
        "learners": [],
        "dimensions": 16,
        "recall": {str(k): value for k, value in features.recall.items()},
        "map_at_r": features.map_at_r,
        "r_precision": features.r_precision,
        "mean_rank": features.mean_rank,
        "first_right": packed(features.per_query["first_hit_rank"] == 1),
    }
    assert report["data"] == manifest.only("test").fingerprint()
    assert {key: report[key] for key in ("format", "split", "protocol", "queries", "gallery", "classes")} == {
        "format": "bier-metrics-2",
        "split": "test",
        "protocol": "self",
        "queries": 60,
        "gallery": 60,
        "classes": 6,
    }
    assert report["unreadable"] == ["/pictures/0.jpg: not a picture"]
    assert np.shape(report["correlation"]["learners"]) == (2, 2)
    shown = {entry["query"]["image"] for entry in report["neighbours"]}
    assert len(shown) == 48
    assert shown <= {f"/pictures/{row}.jpg" for row in range(30, 90)}
    for entry in report["neighbours"]:
        for hit in entry["hits"]:
            assert hit["correct"] == (hit["label"] == entry["query"]["label"])
            assert hit["label"] == f"class {int(Path(hit['image']).stem) % 6}"  # names belong to their pictures


def test_query_gallery() -> None:
    vectors, manifest = example(["query"] * 20 + ["gallery"] * 40 + ["val"] * 12, "query-gallery")
    report = run(vectors, manifest)
    assert (report["queries"], report["gallery"], report["protocol"]) == (19, 40, "query-gallery")
    split, labels = manifest.split[vectors.index], manifest.label[vectors.index]
    query, gallery = split == "query", split == "gallery"
    z = vectors.learners[1]
    expected = evaluate_retrieval(z[query], labels[query], gallery=z[gallery], gallery_labels=labels[gallery])
    assert report["rows"][2]["map_at_r"] == pytest.approx(expected.map_at_r, abs=1e-12)
    assert all(int(Path(hit["image"]).stem) in range(20, 60) for e in report["neighbours"] for hit in e["hits"])
    validation = run(vectors, manifest, split="val")
    assert (validation["queries"], validation["protocol"]) == (12, "self")


def test_vehicleid_draws() -> None:
    vectors, manifest = example(["test"] * 50, "vehicleid-draws", classes=8)
    report = run(vectors, manifest, seed=3)
    assert (report["draws"], report["queries"], report["gallery"]) == (10, 41, 8)
    row = report["rows"][2]
    split, labels = manifest.split[vectors.index], manifest.label[vectors.index]
    z, recalls = vectors.learners[1], []
    for trial in trials("vehicleid-draws", split, labels, "test", 3):
        assert len(set(labels[trial.gallery])) == 8
        assert sorted(trial.positions()) == list(range(49))
        sides = {"gallery": z[trial.gallery], "gallery_labels": labels[trial.gallery]}
        recalls.append(evaluate_retrieval(z[trial.query], labels[trial.query], **sides).recall[1])
    assert row["recall"]["1"] == pytest.approx(np.mean(recalls))
    assert row["recall_std"]["1"] == pytest.approx(np.std(recalls, ddof=1))
    assert len(set(recalls)) > 1
    assert row["map_at_r"] == pytest.approx(row["recall"]["1"])  # one positive a query: R = 1
    assert run(vectors, manifest, seed=3)["rows"] == report["rows"] != run(vectors, manifest, seed=4)["rows"]


def test_vehicleid_draws_are_fair() -> None:
    labels = np.array(["a"] * 4 + ["b"], dtype=object)
    split = np.array(["test"] * 5, dtype=object)
    drawn = [
        trial.gallery.tolist() for seed in range(40) for trial in trials("vehicleid-draws", split, labels, "test", seed)
    ]
    assert all(4 in gallery for gallery in drawn)  # the only picture of b is never a query
    counts = np.bincount([gallery[0] for gallery in drawn], minlength=4)
    assert counts.min() > 70  # 100 each in the mean


def test_leave_one_out_is_self_retrieval_under_its_name() -> None:
    vectors, manifest = example(["test"] * 50, "vehicleid-leave-one-out")
    report = run(vectors, manifest)
    assert (report["protocol"], report["queries"], report["gallery"]) == ("vehicleid-leave-one-out", 49, 49)


@pytest.mark.parametrize(
    ("splits", "protocol", "message"),
    [
        (["train"] * 8, "self", r"split 'test'\n.*there are train"),
        (["query"] * 8, "query-gallery", "split 'gallery'"),
        (["test"] * 7, "vehicleid-draws", "one picture only"),
    ],
)
def test_nothing_to_search_is_named(splits: list[str], protocol: str, message: str) -> None:
    vectors, manifest = example(splits, protocol, classes=7)
    with pytest.raises(DataError, match=message):
        run(vectors, manifest)


def test_collapsed_and_single_learner_models_still_give_json() -> None:
    vectors, manifest = example(["test"] * 40)
    vectors.learners = [torch.full((39, 1), 0.5)]
    vectors.features = None
    report = evaluate_manifest(vectors, manifest, [1.0], name="flat")
    json.dumps(report, allow_nan=False)
    assert report["rows"][0]["recall"]["1"] == 0


def test_what_a_score_tells_is_said_of_the_whole_embedding() -> None:
    vectors, manifest = example(["test"] * 60)
    rows = run(vectors, manifest, whole=MATCHING)["rows"]
    assert [row["name"] for row in rows if "verification" in row] == ["ensemble", "first 2 learners"]
    weighed = zip(boosting_weights(2), vectors.learners, strict=True)
    ensemble = torch.cat([alpha**0.5 * normalize(outputs) for alpha, outputs in weighed], dim=1)
    labels = manifest.label[vectors.index]
    expected = evaluate_retrieval(ensemble, labels, metrics=MATCHING)
    assert expected.verification is not None
    assert expected.open_set is not None
    # Scores of the joined vectors are rounded otherwise.
    assert rows[0]["verification"]["auc"] == pytest.approx(expected.verification.auc, abs=1e-6)
    assert rows[0]["open_set"]["dir"][0]["rate"] == expected.open_set.dir[0].rate
    every = run(vectors, manifest, metrics=(*USUAL, *MATCHING))["rows"]
    assert all("open_set" in row for row in every)
    assert every[0] == rows[0]


def test_of_several_galleries_the_mean_is_told() -> None:
    vectors, manifest = example(["test"] * 60, protocol="vehicleid-draws")
    row = run(vectors, manifest, whole=MATCHING)["rows"][0]
    assert 0.5 < row["verification"]["auc"] < 1
    assert (row["open_set"]["known"], row["open_set"]["unknown"]) == (26, 26), "of 53 queries, on average"


def test_one_class_has_no_figures_and_a_reason() -> None:
    vectors, manifest = example(["test"] * 12, classes=1)
    report = run(vectors, manifest, whole=MATCHING)
    assert not {"verification", "open_set"} & set(report["rows"][0])
    assert report["not_measured"]["verification"] == "all pictures are of one class"
