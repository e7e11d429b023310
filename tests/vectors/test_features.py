"""Features of views on disk: done once, known to be whole, and never more than the disk can take."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bier.errors import StorageError
from bier.vectors.features import BATCH, ViewFeatures, prepare, size_in_words

SHAPE = (50, 3, 4)
"""150 positions: three batches."""


def values(batch: np.ndarray) -> np.ndarray:
    return np.repeat(batch[:, None], 4, axis=1).astype(np.float32) + 0.5


@pytest.fixture
def store(tmp_path: Path) -> ViewFeatures:
    prepare(tmp_path / "features", SHAPE)
    return ViewFeatures(tmp_path / "features", SHAPE)


def again(store: ViewFeatures) -> ViewFeatures:
    prepare(store.folder, SHAPE)
    return ViewFeatures(store.folder, SHAPE)


def test_what_is_written_is_read_and_not_missing(store: ViewFeatures) -> None:
    assert [len(batch) for batch in store.missing()] == [BATCH, BATCH, 150 - 2 * BATCH]
    for rank, batch in enumerate([store.batches[2], store.batches[0]]):
        store.write(batch, values(batch), rank)
    found = again(store)
    [missing] = found.missing()
    np.testing.assert_array_equal(missing, store.batches[1])
    np.testing.assert_array_equal(found.rows(np.array([149, 3])), values(np.array([149, 3])))


@pytest.mark.parametrize("damage", ["a changed value", "a line that broke off", "a line of nonsense"])
def test_what_is_damaged_is_made_again(store: ViewFeatures, damage: str) -> None:
    for batch in store.batches:
        store.write(batch, values(batch), 0)
    journal = store.folder / "done-0.txt"
    if damage == "a changed value":
        with (store.folder / "values.bin").open("rb+") as file:
            file.seek(BATCH * 4 * 4 + 2)
            file.write(b"\x00\x01")
    else:
        lines = journal.read_text().splitlines()
        lines[2] = lines[2][:-3] if damage == "a line that broke off" else "½ of it"
        journal.write_text("\n".join(lines), encoding="utf-8")
    [missing] = again(store).missing()
    np.testing.assert_array_equal(missing, store.batches[1])
    store.write(missing, values(missing), 0)
    assert not again(store).missing()


def test_another_size_begins_anew(store: ViewFeatures) -> None:
    store.write(store.batches[0], values(store.batches[0]), 0)
    os.truncate(store.folder / "values.bin", 100)
    assert len(again(store).missing()) == 3


def test_a_disk_that_is_too_small_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (10_000, 5, 1280)
    usage = shutil.disk_usage(tmp_path)._replace(free=200_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError) as refused:
        prepare(tmp_path / "features", shape)
    assert "features of 10,000 pictures in 5 views need 256 MB, and it has 200 MB left" in str(refused.value)
    assert "data.views" in str(refused.value)
    assert not (tmp_path / "features").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        prepare(tmp_path / "file" / "features", SHAPE)


def test_sizes_in_words() -> None:
    assert [size_in_words(shape) for shape in ((1, 1, 1), (1000, 1, 250), (10**6, 5, 1280))] == [
        "1 MB",
        "1 MB",
        "25.6 GB",
    ]
