"""The map in an index's folder, and what has become of its pictures since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bier.errors import DataError, SearchError
from bier.search import Index, IndexInfo, create_index
from bier.search.base import vector_mark
from bier.search.map_file import FILE, IndexMap, read_map, write_map
from bier.search.mapping import map_index, map_now
from bier.vectors import planar

INFO = IndexInfo("fingerprint-of-a-model", sizes=(2, 4), scales=(0.5, 0.8))
IDS = [f"{number:02d}.jpg" for number in range(24)]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with create_index(tmp_path / "index", INFO, "exact") as made:
        made.add(IDS, vectors(0), [{}] * len(IDS))
        yield made


def vectors(seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(len(IDS), 6))
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in np.split(drawn, [2], axis=1)]
    return np.concatenate([scale * part for scale, part in zip(INFO.scales, parts, strict=True)], 1).astype(np.float32)


def drawn() -> IndexMap:
    return IndexMap(24, IDS, [float(i) for i in range(24)], [0.5] * 24, list(map(vector_mark, vectors(0))))


def test_an_index_becomes_a_map_that_is_read_as_it_was_written(index: Index) -> None:
    assert read_map(index.folder, INFO) is None
    made = map_index(index)
    assert (sorted(made.ids), made.pictures, made.sampled) == (IDS, 24, False)
    write_map(index.folder, INFO, made)
    assert read_map(index.folder, INFO) == made
    assert not map_now(index, made).stale


def test_of_a_large_index_some_pictures_are_drawn(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bier.search.mapping.sample", lambda count, seed: planar.sample(count, 12, seed))
    made = map_index(index, seed=1)
    assert (len(made.ids), made.pictures, made.sampled) == (12, 24, True)
    assert not map_now(index, made).stale
    index.add(["new"], vectors(1)[:1], [{}])
    assert map_now(index, made).new == 1


def test_what_has_changed_since_is_counted(index: Index) -> None:
    index.delete(IDS[:3])
    index.add([IDS[5]], vectors(1)[:1], [{}])
    index.add(["new", "newer"], vectors(2)[:2], [{}, {}])
    now = map_now(index, drawn())
    assert (now.gone, now.changed, now.new, now.stale) == (3, 1, 2, True)
    assert [record is None for record in now.known] == [True] * 3 + [False] * 21


def test_three_pictures_make_no_map(index: Index) -> None:
    index.delete(IDS[3:])
    with pytest.raises(DataError, match="a map of 3 pictures shows nothing"):
        map_index(index)


def test_a_map_that_cannot_be_used_is_said(index: Index) -> None:
    write_map(index.folder, INFO, drawn())
    with pytest.raises(SearchError, match="of another model"):
        read_map(index.folder, replace(INFO, model="another"))
    file = index.folder / FILE
    whole = file.read_text()
    for harmed, words in (
        (whole[: len(whole) // 2], "broken JSON"),
        (whole.replace("0.5", "0.6", 1), "its checksum is another"),
        (json.dumps(json.loads(whole) | {"x": [0.0]}), "a list of 10 to 10,000 entries"),
    ):
        file.write_text(harmed)
        with pytest.raises(SearchError, match=words) as caught:
            read_map(index.folder, INFO)
        assert caught.value.remedy == "draw the map anew: bier index map INDEX"
