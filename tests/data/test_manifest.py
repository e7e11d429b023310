"""The table itself: order of classes, parts of it, splits, and the file it is kept in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bier.data import Manifest, hold_out, with_distractors
from bier.data.manifest import natural, split_by_class
from bier.errors import DataError, StorageError


def table(labels: list[str], split: str = "train", **columns: object) -> Manifest:
    images = [f"{number}.jpg" for number in range(len(labels))]
    return Manifest.of(Path("/photos"), "photos", image=images, label=labels, split=[split] * len(labels), **columns)  # type: ignore[arg-type]


def classes(count: int, images: int = 2) -> list[str]:
    return [str(label) for label in range(1, count + 1) for _ in range(images)]


def test_classes_are_in_natural_order_and_codes_follow_it() -> None:
    manifest = table(["10", "9", "b10", "b9", "1", "001", "9", "x" + "7" * 5000])
    assert manifest.classes() == ["001", "1", "9", "10", "b9", "b10", "x" + "7" * 5000]
    assert manifest.codes().tolist() == [3, 2, 5, 4, 1, 0, 2, 6]
    assert sorted(["a1b2", "a1b10", "a1", "", "a", "2a"], key=natural) == ["", "2a", "a", "a1", "a1b2", "a1b10"]
    assert sorted(["1", "01", "001"], key=natural) == ["001", "01", "1"]


def test_parts_keep_every_column_aligned() -> None:
    manifest = table(
        ["a", "b", "c"], group=["x", "y", "z"], name=["A", "B", "C"], bbox=[[n, 0, 1, 1] for n in range(3)]
    )
    manifest = replace(manifest, split=np.array(["test", "train", "query"], dtype=object))
    part = manifest.only("query", "test")
    assert (
        part.label.tolist() == ["a", "c"] and part.row.tolist() == [1, 3] and part.split.tolist() == ["test", "query"]
    )
    assert part.group is not None and part.name is not None and part.bbox is not None
    assert part.group.tolist() == ["x", "z"] and part.name.tolist() == ["A", "C"] and part.bbox[:, 0].tolist() == [0, 2]
    assert part.path(1) == Path("/photos/2.jpg") and len(manifest.only("val")) == 0
    assert manifest.take(np.array([2, 0])).image.tolist() == ["2.jpg", "0.jpg"]


def test_an_absolute_path_stands_for_itself() -> None:
    manifest = Manifest.of(Path("/photos"), "photos", image=["/elsewhere/a.jpg"], label=["a"])
    assert manifest.path(0) == Path("/elsewhere/a.jpg")


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.005, 2), (0.999, 98), (0, 0), (1, 100), (0.145, 15)])
def test_the_last_classes_are_for_testing(share: float, expected: int) -> None:
    manifest = split_by_class(table(classes(100)[::-1]), share)
    assert manifest.only("test").classes() == [str(label) for label in range(101 - expected, 101)]
    assert len(manifest.only("train")) == 2 * (100 - expected)


def test_too_few_classes_for_two_sides() -> None:
    with pytest.raises(DataError, match=r"3 classes are too few(.|\n)*data\.test_classes=0"):
        split_by_class(table(classes(3)), 0.5)
    assert set(split_by_class(table(classes(3)), 0).split) == {"train"}


def test_hold_out_moves_whole_training_classes_drawn_by_the_seed() -> None:
    labels = classes(30, images=3)
    splits = ["train" if int(n) <= 25 and row % 3 else "test" for row, n in enumerate(labels)]
    manifest = replace(table(labels), split=np.array(splits, dtype=object))
    held = hold_out(manifest, 0.1, seed=3)
    val = held.only("val").classes()
    assert len(val) == 3 and not set(val) & set(held.only("train").classes()) and len(held.only("val")) == 6
    assert held.only("test").image.tolist() == manifest.only("test").image.tolist()
    shuffled = manifest.take(np.random.default_rng(0).permutation(len(manifest)))
    assert hold_out(shuffled, 0.1, seed=3).only("val").classes() == val
    assert any(hold_out(manifest, 0.1, seed).only("val").classes() != val for seed in range(3))


def test_hold_out_keeps_two_classes_on_each_side_and_draws_only_those_with_a_pair() -> None:
    assert len(hold_out(table(classes(4)), 0.01, 0).only("val").classes()) == 2
    assert len(hold_out(table(classes(4)), 0.99, 0).only("train").classes()) == 2
    singles = table([*classes(3), *[f"single{n}" for n in range(30)]])
    assert set(hold_out(singles, 0.5, 0).only("val").classes()) == {"1", "2", "3"}
    with pytest.raises(DataError, match=r"data\.validation_classes=0"):
        hold_out(table(classes(3)), 0.2, 0)


def test_hold_out_leaves_a_given_validation_split_alone() -> None:
    manifest = replace(table(classes(5)), split=np.array(["val"] * 2 + ["train"] * 8, dtype=object))
    assert hold_out(manifest, 0.4, 0) is manifest
    assert hold_out(table(classes(5)), 0, 0).only("val").classes() == []


def test_distractors_are_training_pictures_drawn_by_the_seed() -> None:
    splits = ["val"] * 4 + ["train"] * 20 + ["test"] * 6
    manifest = replace(table(classes(15)), split=np.array(splits, dtype=object))
    drawn = with_distractors(manifest, 12, seed=1)
    assert drawn.only("val").image.tolist() == manifest.only("val").image.tolist()
    assert len(drawn.only("train")) == 8 and len(drawn) == 12
    shuffled = manifest.take(np.random.default_rng(0).permutation(len(manifest)))
    assert set(with_distractors(shuffled, 12, seed=1).image) == set(drawn.image)
    assert set(with_distractors(manifest, 12, seed=2).image) != set(drawn.image)
    assert [len(with_distractors(manifest, count, seed=1)) for count in (0, 3, 5, 30)] == [4, 4, 5, 24]


def test_save_and_load_give_back_every_column(tmp_path: Path) -> None:
    manifest = table(
        ["001", "1", "ü,\n"],
        row=[2, 3, 9],
        group=["g", "", "h"],
        name=["one", "uno", "é"],
        bbox=[[1, 2, 3, 4], [np.nan] * 4, [0.5, 0, 1, 1]],
        protocol="vehicleid-draws",
    )
    manifest.save(tmp_path / "m.parquet")
    loaded = Manifest.load(tmp_path / "m.parquet")
    for column in ("image", "label", "split", "row", "group", "name"):
        assert getattr(loaded, column).tolist() == getattr(manifest, column).tolist()
    assert loaded.bbox is not None and manifest.bbox is not None
    np.testing.assert_array_equal(loaded.bbox, manifest.bbox)
    assert (loaded.root, loaded.source, loaded.protocol) == (manifest.root, manifest.source, manifest.protocol)
    assert loaded.fingerprint() == manifest.fingerprint()
    assert (loaded.image.dtype, loaded.row.dtype, loaded.bbox.dtype) == (object, np.int64, np.float32)
    table(["a"]).save(tmp_path / "m.parquet")
    assert Manifest.load(tmp_path / "m.parquet").group is None


def test_fingerprint_tells_what_matters_and_nothing_else() -> None:
    manifest = table(classes(3))
    assert manifest.fingerprint() == replace(manifest, root=Path("/other"), source="other").fingerprint()
    others = [
        manifest.take(np.arange(6)[::-1]),
        replace(manifest, split=np.array(["test"] * 6, dtype=object)),
        replace(manifest, label=manifest.label[::-1]),
        replace(manifest, bbox=np.ones((6, 4), np.float32)),
        replace(manifest, bbox=np.full((6, 4), np.nan, np.float32)),
    ]
    assert len({other.fingerprint() for other in [manifest, *others]}) == 6


def test_a_failed_save_leaves_the_last_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.parquet"
    table(["a"]).save(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        table(["b"]).save(path)
    assert Manifest.load(path).label.tolist() == ["a"] and [file.name for file in tmp_path.iterdir()] == ["m.parquet"]


def test_a_damaged_or_foreign_file_is_no_manifest(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    table(["a"] * 1000).save(tmp_path / "whole.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-100])
    parquet.write_table(pyarrow.table({"image": ["a"]}), tmp_path / "foreign.parquet")
    for name in ("cut", "foreign", "absent"):
        with pytest.raises(DataError, match=name):
            Manifest.load(tmp_path / f"{name}.parquet")
