"""Classes that stand on both sides of an experiment are counted, warned of, and kept with the figures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from folders import some_birds
from rich.console import Console
from tiny_runs import TINY

from bier.data import Manifest, hold_out
from bier.records.folder import RunFolder
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance
from bier.runs import evaluate, train
from bier.runs.splits import classes_seen, held_out, overlaps, with_held_out
from bier.settings.reading import from_table
from bier.system.console import plain_console


def manifest(**labels: str) -> Manifest:
    """Splits and the letters that are their labels."""
    rows = [(split, label) for split, letters in labels.items() for label in letters]
    splits, names = zip(*rows, strict=True)
    return Manifest.of(Path(), "x.csv", image=[f"{row}.jpg" for row in range(len(rows))], label=names, split=splits)


def test_seen_classes_are_counted_for_test_and_validation() -> None:
    assert classes_seen(manifest(train="aabb", test="ccdd")) == {"test": 0}
    assert classes_seen(manifest(train="aabb", val="cc", test="bcd")) == {"test": 2, "val": 0}, "the head knows c"
    assert classes_seen(manifest(train="ab", val="ab", query="a", gallery="xa")) == {"test": 1, "val": 2}


def test_what_is_new_needs_no_warning() -> None:
    assert overlaps(manifest(train="aabb", val="cc", test="dd")) == []
    assert overlaps(manifest(train="ab")) == []
    [told] = overlaps(manifest(train="aabb", test="bc"))
    assert told.startswith("WARNING: 1 of 2 test classes are training classes as well")
    assert [line[:35] for line in overlaps(manifest(train="ab", val="ab", test="ab"))] == [
        "WARNING: all 2 test classes are tra",
        "WARNING: all 2 validation classes a",
    ]


def test_of_several_labels_one_that_training_saw_is_enough() -> None:
    rows = {"train": ["a|x", "b|y"], "val": ["c|z"], "test": ["d|x", "d|z", "d|e"]}
    splits = [split for split, labels in rows.items() for _ in labels]
    names = [label for labels in rows.values() for label in labels]
    whole = Manifest.of(Path(), "x.csv", image=[f"{n}.jpg" for n in range(6)], label=names, split=splits)
    assert classes_seen(whole) == {"test": 0, "val": 0}, "as if each set were a class of its own"
    assert classes_seen(whole, "|") == {"test": 2, "val": 0}
    [told] = overlaps(whole, "|")
    assert told.startswith("WARNING: 2 of 3 test sets of labels hold labels of training")
    assert classes_seen(replace(whole, untold=frozenset("z")), "|") == {"test": 2, "val": 0}
    assert classes_seen(replace(whole, untold=frozenset("x")), "|") == {"test": 1, "val": 0}


def test_runs_begun_earlier_keep_their_held_out_sets() -> None:
    labels = [f"species {kind * 4 + one}|kind {kind}" for kind in range(10) for one in range(4) for _ in range(6)]
    images = [f"{n}.jpg" for n in range(len(labels))]
    whole = Manifest.of(Path(), "x.csv", image=images, label=labels, split=["train"] * len(labels))
    earlier, quiet = from_table({"data.label_separator": "|"}), plain_console(quiet=True)
    before = held_out(whole, earlier, quiet)
    assert before.fingerprint() == hold_out(whole, 0.2, earlier.seed, "|").fingerprint() and not before.untold
    now = held_out(whole, with_held_out(earlier), quiet)
    assert now.untold and now.fingerprint() != before.fingerprint()
    assert with_held_out(from_table({})) == from_table({}), "nothing changes where each picture has one label"
    sets = earlier.replace(data__held_out="sets")
    assert held_out(whole, with_held_out(sets), quiet).fingerprint() == before.fingerprint()


@pytest.fixture(scope="module")
def partly_seen(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of five classes for training alone, one on both sides and two for testing alone."""
    root = some_birds(photographs, tmp_path_factory.mktemp("seen"), classes=8, images=4)
    lines = ["image,label,split"]
    for row, path in enumerate(sorted(root.glob("*/*.jpg"))):
        number = row // 4
        split = "train" if number < 5 or (number == 5 and row % 2) else "test"
        lines.append(f"{path.relative_to(root)},{path.parent.name},{split}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def test_figures_say_how_many_of_their_classes_training_saw(partly_seen: Path, tmp_path: Path) -> None:
    console = Console(width=300, file=io.StringIO())
    config = from_table({**TINY, "optimizer.epochs": 1})
    metrics = train(str(partly_seen), config, tmp_path / "run", console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert metrics is not None
    assert (metrics.classes, metrics.classes_seen) == (3, 1)
    assert sorted(row.seen is True for row in metrics.by_class) == [False, False, True]
    assert "WARNING: 1 of 3 test classes are training classes as well" in told
    assert "classes (1 with labels of training classes)" in told
    assert Provenance.load(tmp_path / "run").data.classes_seen == {"test": 1, "val": 0}
    assert Metrics.load(RunFolder(tmp_path / "run").metrics).classes_seen == 1

    # Another source whose classes have the names of training classes, and one of which nothing can be known.
    other = tmp_path / "other"
    other.mkdir()
    rows = (partly_seen / "labels.csv").read_text().replace("train", "test").splitlines()
    (other / "labels.csv").write_text("\n".join([rows[0], *(f"{partly_seen}/{row}" for row in rows[1:])]))
    quiet = Console(quiet=True)
    assert evaluate(tmp_path / "run", str(other), quiet).classes_seen == 6
    RunFolder(tmp_path / "run").provenance.unlink()
    assert evaluate(tmp_path / "run", str(other), quiet).classes_seen is None
