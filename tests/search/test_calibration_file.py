"""The calibration in an index's folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bier.confidence.calibration import Calibration, Chance, Fit
from bier.errors import SearchError, StorageError
from bier.search import CurrentCalibration, Index, IndexInfo, create_index, open_index
from bier.search.calibration_file import (
    FILE,
    IndexCalibration,
    read_calibration,
    remove_calibration,
    write_calibration,
)

INFO = IndexInfo("fingerprint-of-a-model", sizes=(2, 4), scales=(0.5, 0.8))


def learned(bias: float) -> IndexCalibration:
    fit = Fit(Chance(bias, {"top_score": 2.0}), Chance(0.5, {}), 0.25)
    return IndexCalibration(Calibration(dict.fromkeys(("all", "labels", "vectors", "scores"), fit)), 80, {"auc": 0.9})


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with create_index(tmp_path / "index", INFO, "exact") as made:
        yield made


class Model:
    """What a search asks a model for."""

    sizes, calibration = INFO.sizes, learned(3).calibration


def test_it_is_read_as_it_was_written_and_taken_away(index: Index) -> None:
    assert read_calibration(index.folder, INFO) is None
    write_calibration(index.folder, INFO, learned(1))
    found = read_calibration(index.folder, INFO)
    assert found == learned(1)
    open_index(index.folder).close()
    assert remove_calibration(index.folder)
    assert not remove_calibration(index.folder)


def test_the_indexs_own_counts_as_soon_as_it_is_written(index: Index) -> None:
    current = CurrentCalibration(index, Model())  # type: ignore[arg-type]
    assert current() == Model.calibration
    for bias in (1, 22, 333):
        write_calibration(index.folder, INFO, learned(bias))
        assert current() == learned(bias).calibration
    remove_calibration(index.folder)
    assert current() == Model.calibration
    prefix = replace(INFO, sizes=(2,), scales=(1.0,))
    with create_index(index.folder.with_name("prefix"), prefix, "exact") as shorter:
        current = CurrentCalibration(shorter, Model())  # type: ignore[arg-type]
        assert current() is None, "it was learned from other vectors"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:50], "broken JSON"),
        (lambda text: text.replace('"bias": 1', '"bias": 2'), "its checksum is another"),
        (lambda text: text.replace('"bias": 1', '"bias": NaN'), "NaN is no number"),
        (lambda text: text.replace("top_score", "shoe_size"), "shoe_size"),
        (lambda text: text.replace("bier-index-calibration-1", "2"), "format"),
    ],
)
def test_damage_is_one_message(index: Index, damage, message: str) -> None:
    write_calibration(index.folder, INFO, learned(1))
    file = index.folder / FILE
    text = damage(file.read_text())
    assert text != file.read_text()
    file.write_text(text)
    with pytest.raises(SearchError, match=rf"calibration\.json: [\s\S]*{message}[\s\S]*bier calibrate INDEX --remove"):
        read_calibration(index.folder, INFO)
    file.unlink()
    file.mkdir()
    with pytest.raises(StorageError):
        read_calibration(index.folder, INFO)


def test_that_of_another_model_is_refused(index: Index) -> None:
    write_calibration(index.folder, replace(INFO, model="another"), learned(1))
    with pytest.raises(SearchError, match="of another model"):
        read_calibration(index.folder, INFO)
