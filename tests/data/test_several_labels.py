"""Cells that hold several labels are noticed, and names that merely hold a bar are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bier.data import open_source
from bier.data.several_labels import warning
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
