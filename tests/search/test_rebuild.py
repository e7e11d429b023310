"""An index gets another model: what stays, what is checked, and what other programs see meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from colours import Colours, add, expected, filled, name_of, paint, painted, rows_of

from bier.errors import SearchError
from bier.search import open_index, rebuild
from bier.search.engines.exact import ExactIndex
from bier.search.generations import read_generations
from bier.search.rebuild import go_back, rebuild_index


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return painted(tmp_path / "photos")


@pytest.fixture(params=["lancedb", "exact"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, photos: list[Path]) -> Path:
    """An index of the pictures, by the first model."""
    filled(tmp_path / "index", photos, request.param)
    return tmp_path / "index"


def test_a_rebuilt_index_holds_the_same_pictures_with_the_vectors_of_the_new_model(folder, photos):
    new = Colours(2, (8, 16))
    with open_index(folder) as index:
        before = rows_of(index)
    rebuilt = rebuild_index(folder, new, "/models/new")
    assert (rebuilt.pictures, rebuilt.unread) == (20, [])
    assert rebuilt.first_hits.queries == 20
    with open_index(folder) as index:
        after = rows_of(index)
        assert (index.info.model, index.info.sizes, index.info.model_path) == ("model-2", (8, 16), "/models/new")
        assert index.count({"price": 5.0}) == 20
    assert {name: row[0] for name, row in after.items()} == {name: row[0] for name, row in before.items()}
    assert {name: row[1] for name, row in after.items()} == expected(new, photos)
    assert rebuild_index(folder, new) is None

    with go_back(folder) as index:
        assert rows_of(index) == before
    with open_index(folder) as index:
        assert index.info.model == "model-1"
    with go_back(folder) as index:
        assert rows_of(index) == after


def test_one_generation_is_kept_and_everything_else_is_removed(folder):
    names = {path.name for path in folder.iterdir()}
    for number in (2, 3, 4):
        rebuild_index(folder, Colours(number))
        go_back(folder).close()
        go_back(folder).close()
    assert {path.name for path in folder.iterdir()} == {"index.json", "rebuild.lock", "generation-3", "generation-4"}
    assert {path.name for path in (folder / "generation-4").iterdir()} == names | {"files.sqlite"}
    go_back(folder).close()
    rebuild_index(folder, Colours(5))
    assert read_generations(folder).before == "generation-3"
    assert not (folder / "generation-4").exists()


def test_a_picture_that_cannot_be_read_is_named_and_left_out(folder, photos):
    photos[3].unlink()
    photos[7].write_text("no picture")
    told = []
    rebuilt = rebuild_index(folder, Colours(2), failed=lambda image, what: told.append(image))
    assert sorted(told) == [str(photos[3]), str(photos[7])]
    assert (rebuilt.pictures, rebuilt.unread) == (18, [name_of(photos[3]), name_of(photos[7])])
    with open_index(folder) as index:
        assert index.get([name_of(photos[3])]) == [None]


def test_an_index_whose_pictures_are_not_there_stays_as_it_was_and_the_next_call_goes_on(folder, photos):
    shutil.move(photos[0].parents[1], photos[0].parents[2] / "away")
    shutil.copytree(photos[0].parents[2] / "away" / "class 0", photos[0].parent)
    with pytest.raises(SearchError, match=r"16 of 20 pictures cannot be read, such as class 1/0.png"):
        rebuild_index(folder, Colours(2))
    with open_index(folder) as index:
        assert (index.info.model, index.count()) == ("model-1", 20)
    shutil.rmtree(photos[0].parents[1])
    shutil.move(photos[0].parents[2] / "away", photos[0].parents[1])
    new = Colours(2)
    assert rebuild_index(folder, new).pictures == 20
    assert new.seen == 16


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something done while a rebuild compares both generations."""

    def do(work: Callable[[], object]) -> None:
        compare = rebuild.compare

        def first_do(*arguments: object) -> object:
            work()
            return compare(*arguments)

        monkeypatch.setattr(rebuild, "compare", first_do)

    return do


def test_what_other_programs_change_meanwhile_is_in_the_new_generation(folder, photos, meanwhile):
    old, new = Colours(1), Colours(2)

    def change() -> None:
        with open_index(folder) as index:
            index.delete([name_of(photos[0])])
            paint(photos[1], (1, 2, 3))
            extra = photos[1].with_name("extra.png")
            paint(extra, (200, 2, 3))
            add(index, old, [photos[1], extra])

    meanwhile(change)
    rebuild_index(folder, new)
    with open_index(folder) as index:
        rows = rows_of(index)
    there = [*photos[1:], photos[1].with_name("extra.png")]
    assert {name: row[1] for name, row in rows.items()} == expected(new, there)


def test_a_writer_that_had_the_old_generation_open_is_refused_and_a_reader_goes_on(folder, photos):
    with open_index(folder) as index:
        rebuild_index(folder, Colours(2))
        for write in (lambda: index.delete(["class 0/0.png"]), lambda: add(index, Colours(1), photos[:1])):
            with pytest.raises(SearchError, match="rebuilt with another model meanwhile"):
                write()
        assert index.count() == 20
    with open_index(folder) as index:
        go_back(folder).close()
        with pytest.raises(SearchError, match="rebuilt with another model meanwhile"):
            index.delete(["class 0/0.png"])


def test_two_rebuilds_at_once_are_one_message(folder, meanwhile):
    def another() -> None:
        with pytest.raises(SearchError, match="is being rebuilt by another process"):
            rebuild_index(folder, Colours(3))
        with pytest.raises(SearchError, match="is being rebuilt by another process"):
            go_back(folder)

    meanwhile(another)
    rebuild_index(folder, Colours(2))
    with open_index(folder) as index:
        assert index.info.model == "model-2"


def test_what_was_left_of_a_rebuild_with_another_model_is_removed(folder, meanwhile):
    def stop() -> None:
        raise KeyboardInterrupt

    meanwhile(stop)
    with pytest.raises(KeyboardInterrupt):
        rebuild_index(folder, Colours(2))
    with open_index(folder) as index:
        assert index.info.model == "model-1"
    assert (folder / "generation-2").exists()
    with pytest.raises(KeyboardInterrupt):
        rebuild_index(folder, Colours(3))
    with open_index(folder / "generation-2") as index:
        assert index.info.model == "model-3"
    assert rebuild_index(folder, Colours(1)) is None
    assert not list(folder.glob("generation-*"))


def test_an_engine_that_keeps_its_rows_elsewhere_is_one_message(folder, monkeypatch):
    monkeypatch.setattr(ExactIndex, "files", ())
    with open_index(folder) as index:
        engine = index.info.engine
    if engine == "exact":
        with pytest.raises(SearchError, match="of the engine exact cannot be rebuilt in place"):
            rebuild_index(folder, Colours(2))
