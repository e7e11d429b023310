"""Vectors on disk: what is read is what was written, up to the type's error."""

from __future__ import annotations

import json
import math
import random
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensembles import fitted
from pyarrow import parquet

from bier.data.references import picture_bytes, tar_uri
from bier.errors import DataError, ImageError, StorageError
from bier.vectors.parts import (
    TYPES,
    Part,
    VectorBatch,
    VectorsInfo,
    VectorType,
    part_file,
    quantize,
    read_info,
    read_part,
    read_vectors,
    write_part,
)

INFO = VectorsInfo("model", (4, 12), (0.6, 0.8), "float32", "photos", "names", "float32", 64)


def rows(first: int, count: int) -> VectorBatch:
    vectors = fitted(np.random.default_rng(first).standard_normal((count, 16)), INFO)
    names = [f"ü{row}.jpg" for row in range(first, first + count)]
    labels = [None if row % 3 else str(row) for row in range(count)]
    metadata = [{"image": f"/photos/{name}", "label": label} for name, label in zip(names, labels, strict=True)]
    return VectorBatch(names, vectors, metadata)


@pytest.mark.parametrize("type", TYPES)
def test_what_is_read_is_what_was_written(tmp_path: Path, type: VectorType) -> None:
    replace(INFO, type=type).save(tmp_path)
    given = [rows(0, 10), rows(10, 0), rows(10, 7)]  # one part without any readable picture
    for number, batch in enumerate(given):
        write_part(part_file(tmp_path, number), batch, type, Part(len(batch), (0, number), [("x", "y")]))
    found = list(read_vectors(tmp_path, batch=4))
    assert [name for batch in found for name in batch.ids] == given[0].ids + given[2].ids
    assert [row for batch in found for row in batch.metadata] == given[0].metadata + given[2].metadata
    vectors, expected = np.concatenate([b.vectors for b in found]), np.concatenate([b.vectors for b in given])
    largest = np.abs(expected).max(axis=1, keepdims=True)
    bound = {"float32": 0, "float16": 2**-11 * largest, "int8": largest / 254 + 1e-7}[type]
    assert vectors.dtype == np.float32
    assert (np.abs(vectors - expected) <= bound).all()
    assert read_part(part_file(tmp_path, 2)) == Part(7, (0, 2), [("x", "y")])
    assert read_info(tmp_path) == replace(INFO, type=type)


def test_a_vector_of_zeros_stays_one() -> None:
    values, scale = quantize(np.zeros((1, 3), np.float32))
    assert (values * scale[:, None] == 0).all()


def test_what_is_no_folder_of_vectors_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder of vectors"):
        read_info(tmp_path)
    (tmp_path / "vectors.json").write_text('{"format": "bier-vectors-9"}')
    with pytest.raises(DataError, match="another format"):
        read_info(tmp_path)
    INFO.save(tmp_path)
    for number in (0, 1, 2):
        write_part(part_file(tmp_path, number), rows(0, 3), "float32", Part(3, (0, 0), []))
    part_file(tmp_path, 2).write_bytes(part_file(tmp_path, 2).read_bytes()[:500])
    with pytest.raises(DataError, match=r"part-00002\.parquet: is damaged"):
        list(read_vectors(tmp_path))
    part_file(tmp_path, 1).unlink()
    with pytest.raises(DataError, match=r"part-00001\.parquet is missing"):
        list(read_vectors(tmp_path))


@pytest.mark.parametrize("type", TYPES)
def test_every_changed_byte_of_a_page_is_noticed(tmp_path: Path, type: VectorType) -> None:
    replace(INFO, type=type).save(tmp_path)
    file = part_file(tmp_path, 0)
    write_part(file, rows(0, 300), type, Part(300, (0, 300), [("x.jpg", "not a picture")]))
    content, chance = file.read_bytes(), random.Random(0)
    pages = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for _ in range(60):
        place = chance.randrange(pages)
        file.write_bytes(changed(content, place, chance))
        with pytest.raises(DataError, match=r"part-00000\.parquet: is damaged"):
            list(read_vectors(tmp_path))


def changed(content: bytes, place: int, chance: random.Random) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def test_what_a_part_says_of_itself_has_a_checksum(tmp_path: Path) -> None:
    file = part_file(tmp_path, 0)
    write_part(file, rows(0, 3), "float32", Part(3, (0, 300), [("x.jpg", "not a picture")]))
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"end": [0, 300]', b'"end": [0, 100]'))
    with pytest.raises(DataError, match="another checksum"):
        read_part(file)


def test_a_vector_that_no_model_gave_is_refused(tmp_path: Path) -> None:
    INFO.save(tmp_path)
    given = rows(0, 5)
    given.vectors[3, 7] *= 2.0**100
    write_part(part_file(tmp_path, 0), given, "float32", Part(5, (0, 5), []))
    with pytest.raises(DataError, match=r"the vector of ü3.jpg: its learner 2 has the length .*e\+"):
        list(read_vectors(tmp_path))


def test_a_part_of_an_earlier_version_has_no_checksums_and_is_read(tmp_path: Path) -> None:
    INFO.save(tmp_path)
    file = part_file(tmp_path, 0)
    write_part(file, rows(0, 3), "float32", Part(3, (0, 3), [("x", "y")]))
    table = parquet.read_table(file)
    says = {b"bier": table.schema.metadata[b"bier"]}
    parquet.write_table(table.replace_schema_metadata(says), file, use_dictionary=["label"])
    assert read_part(file) == Part(3, (0, 3), [("x", "y")])
    assert [batch.ids for batch in read_vectors(tmp_path)] == [rows(0, 3).ids]


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [10**9, 12]},
        {"sizes": [4, True]},
        {"sizes": 4},
        {"sizes": []},
        {"scales": [0.6]},
        {"scales": [0.6, math.inf]},
        {"scales": [0.6, None]},
        {"count": 1e99},
        {"count": -1},
        {"type": "float99"},
        {"type": {}},
        {"model": None},
        {"complete": 1},
        {"else": 1},
        {"format": []},
    ],
)
def test_a_description_that_cannot_be_is_one_clear_error(tmp_path: Path, change: dict[str, object]) -> None:
    INFO.save(tmp_path)
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=r"vectors\.json: cannot be read"):
        read_info(tmp_path)


@pytest.mark.parametrize("text", ["", "null", "[" * 100_000, '{"a":' * 100_000, "NaN", "\0", "1" * 5000])
def test_a_description_that_is_no_json_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "vectors.json").write_text(text)
    with pytest.raises(DataError, match=r"vectors\.json: cannot be read"):
        read_info(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    INFO.save(tmp_path)
    write_part(part_file(tmp_path, 0), rows(0, 3), "float32", Part(3, (0, 3), []))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(StorageError, match="part-00001"):
            write_part(part_file(tmp_path, 1), rows(3, 500), "float32", Part(500, (0, 503), []))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert [batch.ids for batch in read_vectors(tmp_path)] == [rows(0, 3).ids]
    assert len(list(tmp_path.iterdir())) == 2


def test_pictures_inside_tar_files_are_found_again(tmp_path: Path) -> None:
    file = tmp_path / "a b#1?.tar"
    file.write_bytes(b"....picture....")
    assert picture_bytes(tar_uri(file, "x#y.jpg", 4, 7)) == b"picture"
    assert picture_bytes(str(file)) == b"....picture...."
    with pytest.raises(ImageError, match="ends within it"):
        picture_bytes(tar_uri(file, "x", 10, 7))
    with pytest.raises(ImageError, match="No such file"):
        picture_bytes(str(tmp_path / "gone.jpg"))
