"""Whatever stands in the files of an index: one clear error that names the file, never a traceback."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensembles import fitted

from bier.errors import BierError, SearchError
from bier.search import IndexInfo, create_index, open_index, read_info
from bier.search.check import check_index

INFO = IndexInfo("fingerprint-of-a-model", sizes=(2, 4), scales=(0.5, 0.8))
ODD = [None, True, -1, 10**9, 1e99, "", "\0", [], {}, [[]], [None], "a" * 10_000, [{"a": [1]}], "../..", 2**70]


def filled(folder: Path, engine: str) -> Path:
    with create_index(folder, INFO, engine) as index:
        drawn = np.random.default_rng(0).standard_normal((30, 6))
        index.add([str(row) for row in range(30)], fitted(drawn, INFO), [{"label": "a"}] * 30)
        index.delete(["3"])
    return folder


@pytest.mark.parametrize(
    "change",
    [{name: value} for name in ("engine", "sizes", "scales", "fields", "model", "format") for value in ODD]
    + [{"sizes": [2, 4.0]}, {"sizes": [10**9, 4]}, {"scales": [0.5, -0.8]}, {"fields": ["a", "a"]}, {"else": 1}]
    + [{name: value} for name in ("uri", "collection", "model_path") for value in ([], {}, 3)],
)
def test_an_index_json_that_cannot_be_is_one_clear_error(tmp_path: Path, change: dict[str, object]) -> None:
    filled(tmp_path / "index", "exact")
    file = tmp_path / "index" / "index.json"
    content = json.loads(file.read_text())
    del content["checksum"]  # what is tried is what comes after it
    file.write_text(json.dumps(content | change))
    if change in ({"fields": []}, {"model": ""}, {"model": "\0"}, {"model": "a" * 10_000}, {"model": "../.."}):
        read_info(tmp_path / "index")  # which may be
        return
    with pytest.raises(SearchError) as raised:
        open_index(tmp_path / "index")
    assert str(tmp_path) in str(raised.value)
    assert len(str(raised.value)) < 11_000


@pytest.mark.parametrize("change", [{"scales": [0.5, 0.81]}, {"model_path": "/elsewhere"}, {"checksum": 7}])
def test_an_index_json_that_was_changed_is_noticed_by_its_checksum(tmp_path: Path, change: dict[str, object]) -> None:
    filled(tmp_path / "index", "exact")
    file = tmp_path / "index" / "index.json"
    content = json.loads(file.read_text()) | change
    file.write_text(json.dumps(content))
    with pytest.raises(SearchError, match="checksum"):
        open_index(tmp_path / "index")
    del content["checksum"]
    file.write_text(json.dumps(content))
    open_index(tmp_path / "index").close()  # as the message says, and as an earlier version left it


def test_a_path_that_is_no_text_has_a_checksum_too(tmp_path: Path) -> None:
    create_index(tmp_path / "index", replace(INFO, model_path="a\udcff"), "exact").close()
    open_index(tmp_path / "index").close()


@pytest.mark.parametrize("file", ["index.json", "durable.json"])
@pytest.mark.parametrize("engine", ["exact", "lancedb"])
@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", "[" * 100_000, '{"a":' * 100_000, '{"version": Infinity}', "{}", "\0", "\udcff"]
)
def test_json_that_is_none_is_one_clear_error(tmp_path: Path, engine: str, file: str, text: str) -> None:
    filled(tmp_path / "index", engine)
    (tmp_path / "index" / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SearchError, match=r"backup|this program reads") as raised:
        open_index(tmp_path / "index")
    assert str(tmp_path / "index" / file) in str(raised.value)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(("engine", "name"), [("exact", "logs"), ("lancedb", "version"), ("lancedb", "files")])
def test_a_durable_json_that_cannot_be_is_one_clear_error(
    tmp_path: Path, engine: str, name: str, value: object
) -> None:
    filled(tmp_path / "index", engine)
    file = tmp_path / "index" / "durable.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    if (name, value) == ("files", {}):
        open_index(tmp_path / "index").close()  # as an earlier version left it
        return
    with pytest.raises(SearchError) as raised:
        open_index(tmp_path / "index")
    assert str(tmp_path) in str(raised.value)


def mutated(content: bytes, chance: random.Random) -> bytes:
    place, end = sorted(chance.choices(range(len(content) + 1), k=2))
    what = chance.choice(["flip", "cut", "drop", "zeros", "twice", "noise"])
    if what == "flip":
        place = min(place, len(content) - 1)
        return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
    between = {
        "cut": None,
        "drop": b"",
        "zeros": bytes(end - place),
        "twice": content[place:end] * 2,
        "noise": chance.randbytes(end - place),
    }[what]
    return content[:place] if between is None else content[:place] + between + content[end:]


@pytest.mark.parametrize("engine", ["exact", "lancedb"])
def test_mutated_files_give_the_right_answer_or_one_clear_error(tmp_path: Path, engine: str) -> None:
    whole = filled(tmp_path / "whole", engine)
    with open_index(whole) as index:
        right = index.search(np.ones(6), top=29)
    chance = random.Random(0)
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.stat().st_size)
    noticed: list[bool] = []
    for number in range(60):
        copy = tmp_path / str(number)
        shutil.copytree(whole, copy)
        name = chance.choice(names)
        (copy / name).write_bytes(mutated((whole / name).read_bytes(), chance))
        try:
            with open_index(copy) as index:
                same = index.info == INFO_OF[engine]
                found = index.search(np.ones(6), top=29)
                check_index(index)
            assert not same or found == right, name
        except BierError as raised:
            noticed.append(str(copy) in str(raised))
        shutil.rmtree(copy)
    assert all(noticed)
    assert len(noticed) > 45


INFO_OF = {engine: IndexInfo(**{**INFO.__dict__, "engine": engine}) for engine in ("exact", "lancedb")}
