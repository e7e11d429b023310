"""Cells that hold several labels are noticed, and names that merely hold a bar are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bier.data import hold_out, open_source
from bier.data.label_cells import warning
from bier.data.manifest import Manifest
from bier.data.several_labels import LabelSets, checked_sets, label_entries
from bier.errors import DataError
from bier.settings.reading import load


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["red|round", "red", "blue"], "1 labels such as 'red|round'"),
        (["a; b", "b; c", "d"], "2 labels such as 'a; b'"),
        (["AC|DC", "Abba"], None),
        (["red", "round"], None),
        (["|", "red|", "red"], None),
    ],
)
def test_labels_are_noticed_where_a_part_is_shared(labels: list[str], told: str | None) -> None:
    found = warning(labels)
    assert (found is None) if told is None else (found is not None and told in found)


def test_a_source_tells_it_until_the_setting_is_given(tmp_path: Path) -> None:
    rows = [f"{row}.jpg,{label},train" for row, label in enumerate(["red|round", "red", "red|round", "red"])]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,split", *rows]), encoding="utf-8")
    [told] = open_source(tmp_path).remarks()
    assert told.startswith("WARNING") and "data.label_separator=|" in told
    assert open_source(tmp_path, load(None, ["data.label_separator=|"]).data).remarks() == []


@pytest.mark.parametrize("given", ["|", '"|"', ",", ";"])
def test_a_sign_is_taken_as_it_is(given: str) -> None:
    assert load(None, [f"data.label_separator={given}"]).data.label_separator == given.strip('"')


def table(*labels: str) -> Manifest:
    return Manifest.of(Path(), "table", image=[f"{row}.jpg" for row in range(len(labels))], label=labels)


def test_pictures_are_alike_that_share_a_label() -> None:
    sets = LabelSets.of(["red | round", "red", "blue|flat", "round"], "|")
    expected = [[1, 1, 0, 1, 1], [1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 1, 1], [1, 1, 0, 1, 1]]
    np.testing.assert_array_equal(sets.among(np.array([0, 1, 2, 3, 0])), expected)


def test_each_label_of_a_picture_is_an_entry() -> None:
    rows, classes = label_entries(table("red|round|red", "round"), "|")
    assert rows.tolist() == [0, 0, 1] and classes.tolist() == [0, 1, 1]
    assert [values.tolist() for values in label_entries(table("red|round", "round"), None)] == [[0, 1], [0, 1]]


def test_pictures_without_a_label_are_named() -> None:
    with pytest.raises(DataError, match=r"1 pictures have no label, .*1\.jpg"):
        checked_sets(table("red", "|", "blue"), "|")


def test_a_label_of_all_pictures_leaves_nothing_to_tell_apart() -> None:
    with pytest.raises(DataError, match="every picture has the label 'new'"):
        checked_sets(table("red|new", "new", "blue|new"), "|")


def test_sets_of_labels_that_occur_once_can_be_held_out() -> None:
    manifest = table("a|b", "a|c", "b|d", "d|c", "a", "e")
    held = hold_out(replace(manifest, split=np.array(["train"] * 6, dtype=object)), 0.4, 0, "|")
    assert len(held.only("val")) == 2 and "e" not in held.only("val").label  # no other picture shares it
