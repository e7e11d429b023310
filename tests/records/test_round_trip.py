"""What is read back is what was written, and a user's file keeps its keys."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from origins import provenance
from torch import Tensor

from bier.data import Manifest
from bier.evaluate import evaluate_manifest
from bier.records.baseline import Baseline
from bier.records.folder import RunFolder
from bier.records.history import Epoch, read_history, validation_score, write_history
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance, is_finished
from bier.records.tries import Tries


def test_the_files_of_a_real_run_are_written_as_they_were_read(real_run: Path, tmp_path: Path) -> None:
    files, copies = RunFolder(real_run), RunFolder(tmp_path)
    Metrics.load(files.metrics).save(copies.metrics)
    Provenance.load(real_run).save(tmp_path)
    write_history(tmp_path, read_history(real_run))
    Tries.load(real_run).save(tmp_path)
    baseline = Baseline.load(real_run)
    assert baseline is not None
    baseline.save(tmp_path)
    for name in ("metrics", "baseline", "provenance", "history", "tries"):
        before, after = (getattr(folder, name).read_text(encoding="utf-8") for folder in (files, copies))
        assert after == before, name
    assert is_finished(real_run)
    assert 0 <= validation_score(real_run) <= 1


def test_the_keys_of_the_files_stay(real_run: Path) -> None:
    files = RunFolder(real_run)
    metrics = json.loads(files.metrics.read_text(encoding="utf-8"))
    assert list(metrics) == [
        *("format", "name", "source", "data", "split", "protocol", "created", "seed", "draws", "queries", "gallery"),
        *("classes", "classes_seen", "queries_without_positive", "conventions", "unreadable", "rows", "correlation"),
        *("neighbours", "by_class", "confusions"),
    ]
    kinds = ["pretrained", "untrained", "ensemble", *["learner"] * 2, *["prefix"] * 2, "features"]
    assert [row["kind"] for row in metrics["rows"]] == kinds
    usual = ["name", "kind", "learners", "dimensions", "recall", "map_at_r", "r_precision", "mean_rank"]
    whole = metrics["rows"][2]["dimensions"]
    for row in metrics["rows"]:
        paired = [] if row["kind"] in ("learner", "prefix") else ["first_right"]
        trained = row["kind"] in ("ensemble", "prefix") and row["dimensions"] == whole
        matched = ["verification", "open_set"] if trained else []
        assert sorted(row) == sorted([*usual, *matched, *paired])
    assert list(metrics["rows"][0]["recall"]) == ["1", "2", "4", "8"]
    entry = metrics["neighbours"][0]
    assert list(entry) == ["group", "query", "recall_rank", "average_precision", "hits"]
    assert list(entry["hits"][0]) == ["image", "label", "score", "correct"]
    origin = json.loads(files.provenance.read_text(encoding="utf-8"))
    assert list(origin) == [
        *("format", "command", "started", "seed", "device", "threads", "processes", "platform", "cores", "versions"),
        *("parameters", "data", "backbone", "seconds", "best_epoch", "refit", "unreadable", "finished", "tries"),
    ]
    assert list(origin["data"]) == [
        *("path", "source", "protocol", "fingerprint", "images", "classes", "classes_seen"),
    ]
    assert list(origin["backbone"]) == ["name", "mean", "std", "pooling"]
    epoch = json.loads(files.history.read_text(encoding="utf-8").splitlines()[0])
    assert list(epoch) == [
        *("epoch", "step", "loss", "learner_losses", "diversity", "images_per_second", "seconds", "weights"),
        *("hardest", "learning_rate", "validation", "kept"),
    ]


@dataclasses.dataclass
class Vectors:
    learners: list[Tensor]
    features: Tensor | None
    index: np.ndarray[Any, np.dtype[np.int64]]
    failed: tuple[()] = ()


@pytest.mark.parametrize("protocol", ["self", "query-gallery", "vehicleid-draws"])
@pytest.mark.parametrize("known", [True, False])
def test_every_evaluation_survives_its_file(protocol: str, known: bool, tmp_path: Path) -> None:
    count = 40
    generator = torch.Generator().manual_seed(1)
    outputs = [torch.randn(count, size, generator=generator) for size in (4, 8, 16)]
    splits = ["query", "gallery"] * 20 if protocol == "query-gallery" else ["test"] * count
    manifest = Manifest.of(
        Path("/pictures"),
        "made",
        image=[f"{row}.jpg" for row in range(count)],
        label=[f"class {row // 2 % 6}" for row in range(count)],
        split=splits,
        name=[f"name {row // 2 % 6}" for row in range(count)] if known else None,
        bbox=np.arange(4 * count, dtype=np.float32).reshape(count, 4) if known else None,
        protocol=protocol,
    )
    vectors = Vectors(outputs[:2], outputs[2] if known else None, np.arange(count))
    metrics = ("recall", "map_at_r", "r_precision", "mean_rank", "map") if known else ("recall", "map_at_r")
    content = evaluate_manifest(vectors, manifest, [0.3, 0.7], name="made", metrics=metrics, recall_at=(8, 1))  # type: ignore[arg-type]
    record = Metrics.of(content)
    nothing = [key for row in content["rows"] for key in [*row] if key.endswith("_std") and row[key] is None]
    assert record.as_dict() == content or nothing, "only deviations of what was not measured are left out"
    record.save(tmp_path / "some" / "figures.json")
    assert Metrics.load(tmp_path / "some" / "figures.json") == record
    assert list(record.ensemble.recall) == [1, 8], "ascending"


def test_what_is_not_known_yet_is_not_written(tmp_path: Path) -> None:
    begun = provenance(seconds=None, best_epoch=None, unreadable=None, finished=None)
    begun.save(tmp_path)
    content = json.loads(RunFolder(tmp_path).provenance.read_text(encoding="utf-8"))
    assert {"seconds", "best_epoch", "unreadable", "finished", "tries"}.isdisjoint(content)
    assert content["versions"]["torchcodec"] is None
    assert not is_finished(tmp_path)
    provenance().save(tmp_path)
    assert is_finished(tmp_path)


def test_nan_is_null_in_the_file_and_nan_again(tmp_path: Path) -> None:
    write_history(tmp_path, [Epoch(epoch=1, learner_losses=(0.5, math.nan))])
    (line,) = RunFolder(tmp_path).history.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) | {"loss": None, "learner_losses": [0.5, None]} == json.loads(line)
    (epoch,) = read_history(tmp_path)
    assert math.isnan(epoch.loss)
    assert math.isnan(epoch.learner_losses[1])
