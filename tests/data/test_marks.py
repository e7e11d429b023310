"""Reading marks, finding their pictures, and planning batches in which marked pairs meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bier.data import Manifest
from bier.data.images import read_picture
from bier.data.marked import HELD_OUT, ITSELF, NOT_HERE, NOT_KEPT, SEVERAL, join_marks
from bier.data.marked_plan import MarkedPlan
from bier.data.marks import Mark, read_marks
from bier.errors import ConfigError, DataError
from bier.system.places import path_of

HEADER = "query,sha256,box,result,verdict,time"
ONE, TWO = "1" * 64, "2" * 64


def marks_of(folder: Path, *lines: str) -> list[Mark]:
    (folder / "marks.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return read_marks(folder / "marks.csv")


def source(**columns: list[str]) -> Manifest:
    images = [f"{label}/{n}.jpg" for label in "abcd" for n in range(3)]
    split = ["train"] * 9 + ["test"] * 3
    return Manifest.of(Path("/photos"), "photos", image=images, label=[i[0] for i in images], split=split, **columns)  # type: ignore[arg-type]


def test_marks_are_read_as_the_server_writes_them(tmp_path: Path) -> None:
    read = marks_of(
        tmp_path, "a/0.jpg,,12 4.5 20 30,'=b.jpg,good,2026-01-01T00:00:00+00:00", f",{ONE},,a/1.jpg,bad,2026-01-02"
    )
    assert read[0] == Mark(2, "a/0.jpg", "", (12.0, 4.5, 20.0, 30.0), "=b.jpg", True, "2026-01-01T00:00:00+00:00")
    assert (read[1].sha256, read[1].query, read[1].same, read[1].row) == (ONE, "", False, 3)


def test_every_faulty_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        marks_of(
            tmp_path,
            "a,,,b,fine,",
            ",,,b,good,",
            f"a,{ONE},,b,good,",
            "a,,,,good,",
            ",12,,b,good,",
            "a,,1 2 3,b,good,",
            "a,,1 2 0 4,b,good,",
            "a,,x y z w,b,good,",
            "a",
        )
    assert "9 faulty rows" in str(caught.value)
    for told in ("row 2: verdict 'fine' instead of good or bad", "row 6: sha256 '12' is no hash", "row 10: too few"):
        assert told in str(caught.value)
    with pytest.raises(DataError, match="there are no marks"):
        marks_of(tmp_path)
    (tmp_path / "marks.jsonl").write_text('{"query": "a", "result": "b", "verdict": "good"}\n')
    with pytest.raises(DataError, match=r"no column 'query'(.|\n)*Download marked pairs"):
        read_marks(tmp_path / "marks.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_marks(tmp_path / "gone.csv")


def test_marked_pictures_are_found_or_told(tmp_path: Path) -> None:
    (tmp_path / f"{ONE}.jpg").touch()
    marks = marks_of(
        tmp_path,
        "a/0.jpg,,,b/0.jpg,bad,",
        "shop/a/1.jpg,,,b/1.jpg,bad,",  # a prefix, or a folder above
        f",{ONE},,c/0.jpg,good,",
        f",{ONE},,a/2.jpg,bad,",
        f",{ONE},1 2 3 4,b/0.jpg,bad,",
        "a/0.jpg,,1 2 3 4,b/0.jpg,good,",
        f",{TWO},,a/0.jpg,good,",
        "a/0.jpg,,,d/0.jpg,good,",
        "a/0.jpg,,,e/0.jpg,good,",
        "a/0.jpg,,,/0.jpg,good,",
        "a/0.jpg,,,a/0.jpg,good,",
    )
    found = join_marks(source(), marks, tmp_path)
    assert found.left_out == {NOT_KEPT: 1, HELD_OUT: 1, NOT_HERE: 2, ITSELF: 1}
    assert found.pairs.tolist() == [[0, 3], [1, 4], [6, 9], [2, 9], [3, 10], [3, 11]]
    assert found.same.tolist() == [False, False, True, False, False, True]
    assert list(found.rows) == [2, 3, 4, 5, 6, 7]
    whole = found.manifest
    assert whole.image[9:].tolist() == [str(tmp_path / f"{ONE}.jpg")] * 2 + ["a/0.jpg"]
    assert whole.label[9:].tolist() == ["c", "unlabelled:2", "b"], "a class by right marks alone"
    assert found.classed.tolist() == [True] * 10 + [False, True]
    assert whole.bbox is not None and np.isnan(whole.bbox[:10]).all()
    assert whole.bbox[10:].tolist() == [[1, 2, 3, 4]] * 2
    assert (found.brought, found.brought_classed) == (3, 2)
    alone = join_marks(source(), marks, tmp_path, one_label=False)
    assert alone.classed.tolist() == [True] * 9 + [False] * 3
    assert alone.fingerprint() != found.fingerprint()


def test_an_upload_that_marks_disagree_on_gets_no_class(tmp_path: Path) -> None:
    (tmp_path / f"{ONE}.jpg").touch()
    (tmp_path / f"{TWO}.jpg").touch()
    marks = marks_of(
        tmp_path,
        f",{ONE},,a/0.jpg,good,",
        f",{ONE},,b/0.jpg,good,",
        f",{TWO},,a/0.jpg,good,",
        f",{TWO},,a/1.jpg,bad,",
    )
    assert not join_marks(source(), marks, tmp_path).classed[9:].any()


def test_the_later_mark_of_a_pair_counts(tmp_path: Path) -> None:
    marks = marks_of(
        tmp_path,
        "a/0.jpg,,,b/0.jpg,good,2026-01-03",
        "b/0.jpg,,,a/0.jpg,bad,2026-01-02",
        "a/0.jpg,,,b/1.jpg,bad,2026-01-02",
        "a/0.jpg,,,b/1.jpg,bad,2026-01-03",
    )
    found = join_marks(source(), marks, None)
    assert found.pairs.tolist() == [[0, 3], [0, 4]]
    assert found.same.tolist() == [True, False]
    assert list(found.overruled) == [(3, 2)]


def test_no_mark_that_is_left_is_one_error(tmp_path: Path) -> None:
    marks = marks_of(tmp_path, f",{ONE},,a/0.jpg,good,", "x.jpg,,,y.jpg,good,")
    with pytest.raises(DataError, match="none of the marks can be used: 1 of uploads that were not kept, 1 of pict"):
        join_marks(source(), marks, None)


def objects(*, cropped: bool) -> Manifest:
    """Two objects in one picture and the whole of it; a picture for testing; and another."""
    nothing = [np.nan] * 4
    return Manifest.of(
        Path("/photos"),
        "objects.csv",
        image=["a/street.jpg", "a/street.jpg", "a/street.jpg", "yard.jpg", "gate.jpg"],
        label=["car", "dog", "street", "dog", "car"],
        split=["train", "train", "train", "test", "train"],
        bbox=[[0, 0, 20, 16], [20, 0.5, 20, 16], nothing, [1, 2, 3, 4], [5, 5, 9, 9]] if cropped else None,
    )


def test_marks_of_objects_find_their_rows(tmp_path: Path) -> None:
    marks = marks_of(
        tmp_path,
        '"a/street.jpg#0,0,20,16",,,"gate.jpg#5,5,9,9",good,',
        '"shop/a/street.jpg#20,0.5,20,16",,,"gate.jpg#5,5,9,9",bad,',
        'a/street.jpg,,,"gate.jpg#5,5,9,9",bad,',
        '"a/street.jpg#0,0,20,16",,,"yard.jpg#1,2,3,4",bad,',
        '"a/street.jpg#0,0,20,16",,,"yard.jpg#7,7,7,7",bad,',
        '"a/street.jpg#0,0,20,16",,,"gone.jpg#1,2,3,4",bad,',
    )
    found = join_marks(objects(cropped=True), marks, None)
    assert found.pairs.tolist() == [[0, 3], [1, 3], [2, 3]] and found.brought == 0
    assert found.left_out == {HELD_OUT: 2, NOT_HERE: 1}


def test_objects_that_the_source_does_not_have_are_parts_of_its_pictures(tmp_path: Path) -> None:
    marks = marks_of(
        tmp_path,
        '"a/street.jpg#0,0,20,16",,,gate.jpg,good,',
        '"gate.jpg#5,5,9,9",,,"a/street.jpg#0,0,20,16",bad,',
        '"gate.jpg#5,5,9,9",,1 1 2 2,gate.jpg,good,',
        "a/street.jpg,,,gate.jpg,bad,",
        '"yard.jpg#1,2,3,4",,,gate.jpg,bad,',
    )
    found = join_marks(objects(cropped=False), marks, None)
    whole = found.manifest
    assert found.pairs.tolist() == [[3, 4], [4, 5], [3, 6]]
    assert found.left_out == {SEVERAL: 1, HELD_OUT: 1}
    assert whole.image[4:].tolist() == ["a/street.jpg", "gate.jpg", "gate.jpg"]
    assert whole.bbox is not None and whole.bbox[4:].tolist() == [[0, 0, 20, 16], [5, 5, 9, 9], [1, 1, 2, 2]]
    assert whole.label[4:].tolist() == ["car", "unlabelled:2", "car"]
    assert found.classed.tolist() == [True] * 5 + [False, True]


def test_kept_uploads_stay_on_this_machine_where_pictures_are_in_a_bucket(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / f"{ONE}.jpg")
    bucket = replace(source(), root=path_of("memory://shop/photos"))
    marks = marks_of(tmp_path, f",{ONE},,a/0.jpg,good,", f",{ONE},1 1 4 4,b/0.jpg,bad,", "a/0.jpg,,,b/1.jpg,bad,")
    found = join_marks(bucket, marks, tmp_path)
    assert found.pairs.tolist() == [[0, 9], [3, 10], [0, 4]]
    assert found.manifest.reference(0) == "memory://shop/photos/a/0.jpg"
    for row in (9, 10):
        assert found.manifest.reference(row) == str(tmp_path / f"{ONE}.jpg") == str(found.manifest.path(row))
    assert read_picture(found.manifest.reference(9)).shape == (3, 6, 8)


CLASSES = np.repeat(np.arange(12), 5)
PAIRS = np.array([[n, 60 + n] for n in range(40)])


def plan(pairs: np.ndarray = PAIRS, classes: int = 8, images: int = 3, **more: int) -> MarkedPlan:
    return MarkedPlan(CLASSES, np.arange(60), pairs, classes, images, seed=1, **more)


def test_every_pair_meets_once_before_any_meets_again() -> None:
    made = plan()
    met = []
    for epoch in range(6):
        batches = made.epoch(epoch)
        assert len(batches) == len(made)
        assert set(np.concatenate(batches)) >= set(range(60)), "every labelled picture in every epoch"
        for batch in batches:
            assert len(batch) == 8 * 3
            marked = {row for row in batch.tolist() if row >= 60}
            assert all(row - 60 in batch for row in marked), "never half a pair"
            met += sorted(marked)
    rounds = len(met) // 40
    assert rounds > 0
    counts = np.bincount(np.array(met) - 60, minlength=40)
    assert counts.max() - counts.min() <= 1
    assert all(np.array_equal(one, other) for one, other in zip(made.epoch(2), plan().epoch(2), strict=True))


def test_pairs_take_a_quarter_of_a_batch_at_most() -> None:
    few, many = plan(PAIRS[:2]), plan(np.array([[n % 60, 60 + n] for n in range(5000)]))
    assert (few.epoch(0)[0] >= 60).sum() == 1
    assert (many.epoch(0)[0] >= 60).sum() == 2 * 3 // 2
    assert few.classes_per_batch == many.classes_per_batch == 8


@pytest.mark.parametrize("world", [2, 4])
def test_the_parts_of_all_processes_are_the_batch_of_one(world: int) -> None:
    whole = plan().epoch(3)
    parts = [plan(rank=rank, world=world).epoch(3) for rank in range(world)]
    for batch, *pieces in zip(whole, *parts, strict=True):
        assert np.array_equal(batch, np.concatenate(pieces))
        assert len({len(piece) for piece in pieces}) == 1


def test_a_batch_needs_places_for_pairs() -> None:
    with pytest.raises(ConfigError, match="no place for marked pairs"):
        plan(classes=2)
    with pytest.raises(ConfigError, match="cannot be shared by 3 processes"):
        plan(world=3)
