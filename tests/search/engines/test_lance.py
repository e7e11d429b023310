"""LanceDB's files: damage is noticed, readers change nothing, writers wait for each other, conflicts are no damage."""

from __future__ import annotations

import json
import os
import random
import resource
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import lancedb
import numpy as np
import pytest
from ensembles import fitted, numbered

from bier.errors import BierError, SearchError, StorageError
from bier.search import IndexInfo, create_index, lance_files, open_index
from bier.search.engines import lance
from bier.search.lance_errors import BusyError, try_again

INFO = IndexInfo("fingerprint-of-a-model", sizes=(16, 48), scales=(0.5, 0.8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with create_index(tmp_path / "index", INFO, "lancedb") as index:
        drawn = np.random.default_rng(0).standard_normal((200, 64))
        index.add([f"{row:03}" for row in range(200)], fitted(drawn, INFO), [{"label": "a"}] * 200)
    return tmp_path / "index"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def one_bit_changed(file: Path, chance: random.Random) -> Iterator[None]:
    before = file.read_bytes()
    after = bytearray(before)
    after[chance.randrange(len(after))] ^= 1 << chance.randrange(8)
    file.write_bytes(after)
    yield
    file.write_bytes(before)


def test_every_changed_byte_is_noticed_when_the_index_is_opened(folder: Path) -> None:
    files = [path for path in folder.rglob("pictures.lance/**/*") if path.is_file() and path.suffix != ".json"]
    assert {path.parent.name for path in files} == {"data", "_versions", "_transactions"}
    chance = random.Random(0)
    for _ in range(40):
        file = chance.choice(files)
        with one_bit_changed(file, chance), pytest.raises(SearchError, match="its checksum is another") as raised:
            open_index(folder)
        assert str(file) in str(raised.value)
    with open_index(folder) as index:
        assert index.check_files() == len(files)


def test_files_beyond_the_limit_are_compared_by_their_size_alone_until_they_are_checked(folder, monkeypatch) -> None:
    monkeypatch.setattr(lance_files, "BYTES_AT_OPENING", 10_000)
    [file] = folder.rglob("data/*.lance")
    with (
        one_bit_changed(file, random.Random(0)),
        open_index(folder) as index,
        pytest.raises(SearchError, match="its checksum is another"),
    ):
        index.check_files()
    with file.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(SearchError, match=r"it has [\d,]+ bytes, and [\d,]+ were acknowledged"):
        open_index(folder)


def test_a_vector_that_no_model_gave_is_never_a_hit(folder: Path) -> None:
    (folder / "durable.json").unlink()  # as an earlier version left it, without checksums
    with open_index(folder) as index:
        [record] = index.get(["007"])
    [file] = folder.rglob("data/*.lance")
    content = file.read_bytes()
    place = content.index(record.vector.tobytes()) + 4 * 20 + 3  # the exponent of one number
    file.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
    with open_index(folder) as index:
        for call in (
            lambda: index.search(record.vector * -1, top=200),
            lambda: index.get(["007"]),
            lambda: list(index.scan()),
        ):
            with pytest.raises(SearchError, match=r"vector of '007' is damaged: its learner 2 has the length .*e\+"):
                call()


def test_an_index_of_an_earlier_version_gets_its_checksums_from_the_next_writer(folder: Path) -> None:
    version = json.loads((folder / "durable.json").read_text())["version"]
    (folder / "durable.json").write_text(json.dumps({"version": version}))
    before = contents(folder)
    with open_index(folder) as index:
        assert (index.count(), index.check_files()) == (200, 0)
        assert contents(folder) == before
        index.delete(["007"])
        assert index.check_files() == len(contents(folder / "pictures.lance")) - 1  # all but the hint


@pytest.mark.slow
def test_tidying_up_forgets_files_that_are_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "timedelta", lambda hours=0: timedelta(0))
    with open_index(folder) as index:
        for row in range(5):
            index.delete([f"{row:03}"])
        index.flush()
        assert index.check_files() == len(contents(folder / "pictures.lance")) - 1
        assert index.count() == 195


def unacknowledged(folder: Path) -> None:
    """A version that is whole, as a writer leaves it that is about to acknowledge it."""
    durable = (folder / "durable.json").read_text()
    with open_index(folder) as index:
        index.add(["late"], numbered(9, 1, INFO), [{}])
    (folder / "durable.json").write_text(durable)


def test_a_reader_that_may_not_open_files_throws_nothing_away(folder: Path) -> None:
    unacknowledged(folder)
    before = contents(folder)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = 0
    for more in range(8):
        os.close(free := os.open(folder, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, limits[1]))
        try:
            open_index(folder).close()
        except StorageError as error:
            refused += "ulimit -n" in str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert refused > 0
    assert contents(folder) == before
    with open_index(folder) as index:
        assert index.get(["late"]) != [None]


def test_a_version_is_not_put_aside_if_the_acknowledged_one_cannot_be_read_either(folder: Path) -> None:
    unacknowledged(folder)
    for file in folder.rglob("data/*.lance"):
        os.truncate(file, 100)
    content = json.loads((folder / "durable.json").read_text())
    (folder / "durable.json").write_text(json.dumps({"version": content["version"]}))
    before = contents(folder)
    with pytest.raises(SearchError, match="backup"):
        open_index(folder)
    assert {name: data for name, data in contents(folder).items() if not name.endswith("/lock")} == {
        name: data for name, data in before.items() if not name.endswith("/lock")
    }


def test_reading_changes_nothing(folder: Path) -> None:
    unacknowledged(folder)
    before = contents(folder)
    with open_index(folder) as index:
        assert index.count() == 201
        assert len(index.search(np.ones(64), top=3)[0]) == 3
        assert index.get(["late"]) != [None]
    assert contents(folder) == before


@contextmanager
def unprivileged() -> Iterator[None]:
    """Who may read and not write; the superuser may everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("engine", ["exact", "lancedb"])
def test_an_index_that_may_only_be_read_says_so(engine: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = Path(place, "index")
        with create_index(folder, INFO, engine) as index:
            index.add(["a"], numbered(1, 1, INFO), [{}])
        for path in [*folder.rglob("*"), folder]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        with unprivileged(), open_index(folder) as index:
            assert [hit.id for hit in index.search(np.ones(64))[0]] == ["a"]
            for change in (
                lambda: index.delete(["a"]),
                index.flush,
                lambda: index.add(["a"], numbered(2, 1, INFO), [{}]),
            ):
                with pytest.raises(StorageError, match="is read-only: Permission denied") as raised:
                    change()
                assert "backup" not in str(raised.value)
            assert index.count() == 1
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def at_once(works: list[Callable[[], object]]) -> list[BierError]:
    errors: list[BierError] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BierError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_writers_beside_each_other_all_succeed(folder: Path) -> None:
    def writer(number: int) -> None:
        with open_index(folder) as index:
            for step in range(6):
                index.add([f"{number}-{step}"], numbered(step, 1, INFO), [{}])
                index.flush()

    assert at_once([lambda number=number: writer(number) for number in range(4)]) == []
    with open_index(folder) as index:
        assert index.count() == 224
        index.check_files()


@pytest.mark.slow
def test_a_program_that_heeds_no_lock_is_no_damage_either(folder: Path) -> None:
    done = threading.Event()

    def foreign() -> None:
        table = lancedb.connect(str(folder), read_consistency_interval=timedelta(0)).open_table("pictures")
        while not done.is_set():
            with suppress(RuntimeError):  # where it comes second itself
                table.update(where="id = '150'", values={"label": "b"})

    def ours() -> None:
        try:
            with open_index(folder) as index:
                for step in range(8):
                    index.delete([f"{step:03}"])
                    index.flush()
        finally:
            done.set()

    assert at_once([ours, foreign]) == []
    with open_index(folder) as index:
        assert index.count() == 192


def test_a_conflict_is_tried_again_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answers = iter(
        [RuntimeError("Retryable commit conflict for version 3"), RuntimeError("Too many concurrent writers")]
    )

    def second() -> str:
        for error in answers:
            raise error
        return "done"

    def always() -> None:
        raise RuntimeError("Retryable commit conflict")

    def other() -> None:
        raise RuntimeError("not found")

    assert try_again(second) == "done"
    with pytest.raises(BusyError, match="nothing is lost"):
        try_again(always)
    with pytest.raises(RuntimeError, match="not found"):
        try_again(other)
