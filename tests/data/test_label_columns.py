"""Several labels a picture, in a list or in a column each."""

from __future__ import annotations

from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from bier.data import open_source
from bier.errors import DataError
from bier.settings.reading import load

SEPARATED = "data.label_separator=|"


def labels(source: Path, *settings: str) -> list[str]:
    return list(open_source(source, load(None, [*settings, "data.test_classes=0"]).data).label)


def csv(folder: Path, *lines: str) -> Path:
    file = folder / "photos.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def with_labels(folder: Path, values: object) -> Path:
    file = folder / "photos.parquet"
    parquet.write_table(arrow.table({"image": [f"{row}.jpg" for row in range(4)], "label": values}), file)
    return file


def test_a_column_for_each_kind_of_label(tmp_path: Path) -> None:
    file = csv(tmp_path, "image,Colour,shape,price", "0.jpg,red,round,3", "1.jpg,red,,4", "2.jpg,blue,flat,3")
    found = labels(file, "data.label_columns=[colour,shape]", SEPARATED)
    assert found == ["red|round", "red", "blue|flat"]


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("yes", "No"), ("true", "")])
def test_a_column_of_yes_and_no_gives_its_name(tmp_path: Path, yes: str, no: str) -> None:
    file = csv(tmp_path, "image,red,round", f"0.jpg,{yes},{yes}", f"1.jpg,{yes},{no}", f"2.jpg,{no},{yes}")
    assert labels(file, "data.label_columns=[red,round]", SEPARATED) == ["red|round", "red", "round"]


def test_parquet_has_such_columns_too(tmp_path: Path) -> None:
    file = tmp_path / "photos.parquet"
    table = {"image": ["0.jpg", "1.jpg"], "red": [True, True], "round": [True, False], "size": ["big", None]}
    parquet.write_table(arrow.table(table), file)
    assert labels(file, "data.label_columns=[red,round,size]", SEPARATED) == ["red|round|big", "red"]


def test_a_list_of_labels(tmp_path: Path) -> None:
    file = with_labels(tmp_path, [["red", "round"], ["red"], [" blue "], ["blue", "flat"]])
    assert labels(file, SEPARATED) == ["red|round", "red", "blue", "blue|flat"]


def test_a_list_needs_a_separator(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'label' holds lists: several labels") as refused:
        labels(with_labels(tmp_path, [["red"], ["red"], ["blue"], ["blue"]]))
    assert "data.label_separator=|" in str(refused.value)


def test_columns_need_a_separator(tmp_path: Path) -> None:
    file = csv(tmp_path, "image,colour", "0.jpg,red", "1.jpg,red", "2.jpg,blue")
    with pytest.raises(DataError, match="nothing that separates labels"):
        labels(file, "data.label_columns=[colour]")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    file = csv(tmp_path, "image,colour", "0.jpg,red", "1.jpg,red", "2.jpg,blue")
    with pytest.raises(DataError, match="no column 'color'") as refused:
        labels(file, "data.label_columns=[color]", SEPARATED)
    assert "did you mean 'colour'?" in str(refused.value)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("red|ish,round", "row 3: the label 'red|ish' holds '|'"),
        (",", "row 3: none of the columns 'colour', 'shape' gives a label"),
    ],
)
def test_a_row_that_cannot_be_told(tmp_path: Path, cells: str, told: str) -> None:
    file = csv(tmp_path, "image,colour,shape", "0.jpg,red,round", f"1.jpg,{cells}", "2.jpg,blue,flat")
    with pytest.raises(DataError) as refused:
        labels(file, "data.label_columns=[colour,shape]", SEPARATED)
    assert told in str(refused.value)


def test_labels_of_mixed_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'label' holds values of type"):
        labels(with_labels(tmp_path, [{"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}]), SEPARATED)
