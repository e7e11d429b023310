"""Training on marks beside labels: what a run takes, keeps and tells, and what bad marks get."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import some_birds
from tiny_runs import TINY, At, interrupt

import bier
from bier.data import open_source
from bier.errors import ConfigError, DataError
from bier.records.folder import RunFolder
from bier.records.provenance import Provenance
from bier.runs import tries
from bier.runs.marks import GivenMarks, take_marks
from bier.runs.splits import held_out
from bier.settings.reading import from_table
from bier.system.console import plain_console
from bier.training.callbacks import Callback
from bier.training.stopping import Interrupted

HASHES = ["1" * 64, "2" * 64]
MARKED = {**TINY, "model.frozen": True, "data.views": 2, "model.refit": False, "data.classes_per_batch": 4}


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of four pictures; beside them marks, and two kept uploads."""
    root = tmp_path_factory.mktemp("photos")
    folder = some_birds(photographs, root / "birds", classes=10, images=4)
    (root / "uploads").mkdir()
    for name, picture in zip(HASHES, sorted(folder.rglob("*.jpg")), strict=False):
        shutil.copy(picture, root / "uploads" / f"{name}.jpg")
    manifest = held_out(open_source(folder), from_table(MARKED), plain_console(quiet=True))
    one, two, other = (str(name) for name in manifest.image[manifest.split == "train"][[0, 1, 5]])
    lines = [
        f",{HASHES[0]},,{one},good,",
        f",{HASHES[0]},,{other},bad,",
        f",{HASHES[1]},,{other},bad,",
        f"{two},,0 0 40 40,{one},good,",
        f",{'3' * 64},,{one},good,",
    ]
    (root / "marks.csv").write_text("\n".join(["query,sha256,box,result,verdict,time", *lines]))
    (root / "against.csv").write_text(
        f"query,sha256,box,result,verdict,time\n{one},,,{two},bad,\n{one},,,{other},good,\n{two},,,{other},bad,"
    )
    return root


def trained(birds: Path, out: Path, *callbacks: Callback, **more: Any) -> bier.Run:
    return bier.train(birds / "birds", {**MARKED, **more}, out, callbacks, marks=birds / "marks.csv", quiet=True)


@pytest.fixture(scope="module")
def finished(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> bier.Run:
    return trained(birds, tmp_path_factory.mktemp("runs") / "finished")


def test_a_run_keeps_what_it_took(finished: bier.Run, birds: Path) -> None:
    taken = Provenance.load(finished.folder).marks
    assert taken is not None
    assert (taken.right, taken.wrong, taken.brought, taken.brought_classed) == (2, 2, 3, 2)
    assert taken.left_out == {"of uploads that were not kept": 1}
    assert taken.uploads == str(birds / "uploads")
    assert RunFolder(finished.folder).marks.read_bytes() == (birds / "marks.csv").read_bytes()
    assert finished.metrics is not None


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_with_the_same_marks(
    finished: bier.Run, birds: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(birds, moved)
    with pytest.raises(Interrupted):
        trained(moved, tmp_path / "run", At(2, interrupt))
    (moved / "marks.csv").unlink()  # the run has its own copy
    kept = moved / "uploads" / f"{HASHES[0]}.jpg"
    kept.rename(tmp_path / "away.jpg")
    with pytest.raises(DataError, match="the marks or kept uploads are not those that this run started with"):
        bier.open_run(tmp_path / "run").resume(quiet=True)
    (tmp_path / "away.jpg").rename(kept)
    resumed = bier.open_run(tmp_path / "run").resume(quiet=True)
    assert RunFolder(resumed.folder).model.read_bytes() == RunFolder(finished.folder).model.read_bytes()


@pytest.mark.slow
def test_marks_serve_a_network_that_learns_as_well_and_several_tries(birds: Path, tmp_path: Path) -> None:
    run = trained(birds, tmp_path / "whole", **{"model.frozen": False})
    assert run.finished
    given = GivenMarks.named(birds / "marks.csv", None, win=False)
    rates, console = ["optimizer.learning_rate=1e-4,1e-3"], plain_console(quiet=True)
    tries.train(str(birds / "birds"), from_table(MARKED), rates, tmp_path / "tries", console, marks=given)
    taken = Provenance.load(tmp_path / "tries").marks
    assert taken is not None and taken.brought == 3


def test_labels_that_contradict_marks_are_an_error_unless_marks_win(birds: Path) -> None:
    manifest = held_out(open_source(birds / "birds"), from_table(MARKED), plain_console(quiet=True))
    with pytest.raises(DataError) as caught:
        take_marks(GivenMarks(birds / "against.csv"), manifest, None)
    assert "2 marks contradict the labels" in str(caught.value)
    assert "row 2: " in str(caught.value) and "are marked wrong, and labelled '" in str(caught.value)
    assert "row 3: " in str(caught.value) and "row 4" not in str(caught.value)
    taken = take_marks(GivenMarks(birds / "against.csv", win=True), manifest, None)
    assert taken.relations.among(np.array([0, 1, 5])).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert "2 marks contradict the labels, and count" in " ".join(taken.in_words())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"uploads": "nowhere"}, "there is no such folder", id="no folder of uploads"),
        pytest.param({"marks": None, "uploads": "."}, "--uploads and --marks-win are of marks", id="no marks"),
        pytest.param({"loss": "proxy_anchor"}, "proxy_anchor takes one label a picture", id="proxies"),
        pytest.param({"marks": "birds"}, "cannot be read", id="a folder"),
    ],
)
def test_what_cannot_be_is_one_error(options: dict[str, Any], message: str, birds: Path, tmp_path: Path) -> None:
    settings = {**MARKED, "loss.name": options.pop("loss", "binomial_deviance")}
    given = {"marks": "marks.csv", **options}
    files = {name: None if value is None else birds / value for name, value in given.items()}
    with pytest.raises((ConfigError, DataError), match=message):
        bier.train(birds / "birds", settings, tmp_path / "run", quiet=True, **files)
    assert not (tmp_path / "run" / "provenance.json").exists()
