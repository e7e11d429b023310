"""Tables in a bucket, and tables that name pictures there."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as arrow
import pytest
from PIL import Image
from pyarrow import parquet

from bier.data import cells, open_source, read_image
from bier.data.images import read_picture
from bier.errors import ImageError, PlaceError
from bier.system import places


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[bytes]]:
    """Grey squares, number ``n`` of grey ``10 * n``, in ``memory://shop/grey``."""
    monkeypatch.setenv("BIER_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    made = []
    for number in range(8):
        file = io.BytesIO()
        Image.fromarray(np.full((4, 4, 3), 10 * number, np.uint8)).save(file, "PNG")
        made.append(file.getvalue())
        system.pipe_file(f"/shop/grey/{number}.png", made[-1])
    yield made
    system.rm("/shop", recursive=True)


def greys(source: str) -> list[int]:
    """Of all pictures, by the paths and by the references of the manifest."""
    manifest = open_source(source)
    found = [int(read_picture(manifest.reference(row))[0, 0, 0]) for row in range(len(manifest))]
    assert found == [int(read_image(manifest.path(row))[0, 0, 0]) for row in range(len(manifest))]
    return found


def test_paths_of_a_table_in_a_bucket_are_relative_to_it(pictures: list[bytes]) -> None:
    rows = [f"../grey/./{number}.png,{number % 4}\n" for number in range(8)]
    fsspec.filesystem("memory").pipe_file("/shop/tables/all.csv", ("image,label\n" + "".join(rows)).encode())
    assert greys("memory://shop/tables/all.csv") == [10 * number for number in range(8)]


def test_a_table_of_this_machine_may_hold_urls(pictures: list[bytes], tmp_path: Path) -> None:
    rows = [f"memory://shop/grey/{number}.png,{number % 4}\n" for number in range(8)]
    (tmp_path / "all.csv").write_text("image,label\n" + "".join(rows))
    assert greys(str(tmp_path / "all.csv")) == [10 * number for number in range(8)]


@pytest.mark.parametrize("source", ["", "/*.parquet"])
def test_parquet_files_in_a_bucket_are_fetched_once(
    source: str, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(2):
        file = io.BytesIO()
        rows = range(4 * part, 4 * part + 4)
        table = arrow.table({"image": [pictures[n] for n in rows], "label": [str(n % 4) for n in rows]})
        parquet.write_table(table, file, row_group_size=2)
        fsspec.filesystem("memory").pipe_file(f"/shop/parts/part-{part}.parquet", file.getvalue())
    manifest, fetch = open_source(f"memory://shop/parts{source}"), places.fetch
    for _ in range(2):
        found = [int(read_picture(manifest.reference(row))[0, 0, 0]) for row in range(8)]
        assert found == [10 * number for number in range(8)]
        cells._kept.clear()  # as if there were many more
        monkeypatch.setattr("bier.system.places.fetch", lambda *_: pytest.fail("a row group is fetched once"))
    for kept in (Path(os.environ["BIER_CACHE"])).rglob("*"):
        if kept.is_file():
            kept.write_bytes(b"damaged")
    monkeypatch.setattr("bier.system.places.fetch", fetch)
    cells._kept.clear()
    assert int(read_picture(manifest.reference(3))[0, 0, 0]) == 30, "it is fetched again"


def test_a_parquet_file_in_a_bucket_may_hold_the_pictures(pictures: list[bytes]) -> None:
    file = io.BytesIO()
    parquet.write_table(arrow.table({"image": pictures, "label": [str(n % 4) for n in range(8)]}), file)
    fsspec.filesystem("memory").pipe_file("/shop/all.parquet", file.getvalue())
    assert greys("memory://shop/all.parquet") == [10 * number for number in range(8)]


def test_a_bucket_that_cannot_be_asked_is_no_damaged_picture(
    pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    with pytest.raises(ImageError, match="no such file"):
        read_image(places.path_of("memory://shop/grey/8.png"))
    monkeypatch.setattr(places, "PAUSES", ())
    with pytest.raises(PlaceError, match="cannot be reached"):
        read_image(places.path_of("http://127.0.0.1:9/1.png"))
