"""Runs from shards: the same batches, weights and figures as from the same pictures in a folder."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from folders import some_birds
from pyarrow import parquet
from tiny_runs import TINY, At, interrupt

import bier
from bier.data import open_source


@pytest.fixture(scope="module")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=4)


@pytest.fixture(scope="module")
def whole(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> bier.Run:
    return bier.train(birds, TINY, tmp_path_factory.mktemp("runs") / "folder", quiet=True)


def tars(birds: Path, folder: Path) -> None:
    """Three, each with pictures of all classes in no order."""
    pictures = sorted(birds.rglob("*.jpg"), key=lambda path: path.name[::-1])
    for number in range(3):
        with tarfile.open(folder / f"part-{number}.tar", "w") as tar:
            for picture in pictures[number::3]:
                tar.add(picture, str(picture.relative_to(birds)))


def tables(birds: Path) -> list[Any]:
    """Two, whose rows are those of the folder."""
    manifest = open_source(birds)
    rows = [
        {"image": {"bytes": manifest.path(row).read_bytes(), "path": None}, "label": manifest.label[row]}
        for row in range(len(manifest))
    ]
    return [arrow.Table.from_pylist(part) for part in (rows[:17], rows[17:])]


def parquets(birds: Path, folder: Path) -> None:
    for number, table in enumerate(tables(birds)):
        parquet.write_table(table, folder / f"part-{number}.parquet", row_group_size=5)


def saved(birds: Path, folder: Path) -> None:
    for number, table in enumerate(tables(birds)):
        with arrow.ipc.new_stream(folder / f"{number}.arrow", table.schema) as stream:
            stream.write_table(table, max_chunksize=5)
    files = [{"filename": f"{number}.arrow"} for number in range(2)]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))


def model(run: bier.Run) -> bytes:
    return (run.folder / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("write", [tars, parquets, saved])
def test_shards_train_the_model_of_the_folder(
    write: Callable[[Path, Path], None], birds: Path, whole: bier.Run, tmp_path: Path
) -> None:
    source = tmp_path / "shards"
    source.mkdir()
    write(birds, source)
    run = bier.train(source, {**TINY, "data.workers": 2}, tmp_path / "run", quiet=True)
    assert model(run) == model(whole)
    assert whole.metrics is not None and run.metrics is not None
    assert run.metrics.rows == whole.metrics.rows
    assert run.evaluate(quiet=True).rows == whole.metrics.rows


@pytest.mark.slow
def test_a_run_from_shards_goes_on_bit_for_bit(birds: Path, whole: bier.Run, tmp_path: Path) -> None:
    source = tmp_path / "shards"
    source.mkdir()
    tars(birds, source)
    with pytest.raises(bier.Interrupted):
        bier.train(source, TINY, tmp_path / "run", [At(3, interrupt)], quiet=True)
    assert model(bier.open_run(tmp_path / "run").resume(quiet=True)) == model(whole)
