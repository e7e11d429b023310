"""A training on pictures with several labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import some_birds
from tiny_runs import TINY, At, interrupt

import bier
from bier.data import open_source
from bier.data.loader import Batch
from bier.data.several_labels import LabelSets
from bier.errors import ConfigError, DataError
from bier.runs.suspects import suspects
from bier.settings.reading import load
from bier.system.console import plain_console
from bier.system.processes import Processes
from bier.training.batch import WholeBatch
from bier.training.stopping import Interrupted

SEVERAL = {
    **TINY,
    "loss.name": "multi_similarity",
    "data.label_separator": "|",
    "data.classes_per_batch": 6,
    "data.validation_classes": 0.3,
}
Tagged = Callable[[list[str]], Path]


@pytest.fixture
def tagged(photographs: Path, tmp_path: Path) -> Tagged:
    """A table of photographs of birds with these labels, four of a kind, the last eight of them for testing."""

    def make(labels: list[str]) -> Path:
        folder = some_birds(photographs, tmp_path / "photos", classes=len(labels) // 4, images=4)
        files = [file.relative_to(folder) for file in sorted(folder.rglob("*.jpg"))]
        splits = ["train"] * (len(files) - 8) + ["test"] * 8
        rows = [f"{file},{label},{split}" for file, label, split in zip(files, labels, splits, strict=True)]
        (folder / "labels.csv").write_text("\n".join(["image,label,split", *rows]), encoding="utf-8")
        return folder

    return make


def each_its_own() -> list[str]:
    """No two of 28 pictures have the same set of labels, and each label is that of several."""
    return [f"kind {row // 4}|side {row % 4}|{'day' if row % 3 else 'night'}|{row}" for row in range(28)]


def test_a_batch_tells_what_shares_a_label() -> None:
    rows = torch.tensor([2, 0, 1, 1])
    batch = Batch(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([2, 0, 1, 1]), rows, [])
    whole = WholeBatch.of(batch, Processes(), LabelSets.of(["a|b", "b|c", "d"], "|"))
    assert whole.comparable()
    assert whole.labels.tolist() == [[1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]
    alike = Batch(batch.images[1:], batch.labels[1:], rows[1:], [])
    assert not WholeBatch.of(alike, Processes(), LabelSets.of(["a|b", "b|c", "d"], "|")).comparable()


def test_sets_of_labels_that_occur_once_are_trained_on(
    tagged: Tagged, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tagged(each_its_own())
    with pytest.raises(DataError, match="each of the 28 classes has a single picture"):
        open_source(photos)
    run = bier.train(photos, SEVERAL, tmp_path / "run")
    assert "labels, between '|': those that share one are" in capsys.readouterr().out
    assert [np.isfinite(epoch.loss) for epoch in run.history] == [True, True]
    assert run.metrics is not None
    assert "a hit is right if it shares a label; '|' separates labels" in run.metrics.conventions
    assert run.metrics.queries_without_positive == 0


def test_labels_are_held_out_and_each_is_judged_afterwards(
    tagged: Tagged, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tagged([f"species {row // 4}|kind {row // 8}" for row in range(64)])
    run = bier.train(photos, SEVERAL, tmp_path / "run")
    said = capsys.readouterr().out
    assert "labels are held out, and" in said and "pictures mix them with other labels" in said
    assert load(run.folder / "config.yaml").data.held_out == "labels"
    found = suspects(run.folder, None, plain_console(quiet=True))
    assert (found.judged, found.labels) == (56, 112)
    for suspect in found.found:
        label, better = suspect.row[1:3]
        assert "|" not in label and "|" in better and label not in better.split("|")
        assert suspect.picture.label.startswith(f"{label}, of ")


@pytest.mark.slow
def test_it_goes_on_bit_for_bit(tagged: Tagged, tmp_path: Path) -> None:
    photos = tagged(each_its_own())
    whole = bier.train(photos, SEVERAL, tmp_path / "whole", quiet=True)
    with pytest.raises(Interrupted):
        bier.train(photos, SEVERAL, tmp_path / "cut", [At(3, interrupt)], quiet=True)
    bier.open_run(tmp_path / "cut").resume(quiet=True)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert whole.history[-1].epoch == 2 and models[0] == models[1]


def test_a_loss_of_classes_is_refused(tagged: Tagged, tmp_path: Path) -> None:
    settings = {**SEVERAL, "loss": {"name": "proxy_anchor"}}
    settings.pop("loss.name")
    with pytest.raises(ConfigError, match="proxy_anchor takes one label a picture"):
        bier.train(tagged(each_its_own()), settings, tmp_path / "run", quiet=True)


def test_a_label_of_all_pictures_is_refused(tagged: Tagged, tmp_path: Path) -> None:
    photos = tagged([f"{label}|bird" for label in each_its_own()])
    with pytest.raises(DataError, match="every picture has the label 'bird'"):
        bier.train(photos, SEVERAL, tmp_path / "run", quiet=True)
    assert len(open_source(photos, load(None, ["data.label_separator=|"]).data)) == 28
