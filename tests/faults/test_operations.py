"""Random operations on every engine, with reopening, against a plain dictionary; and writers beside readers."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ensembles import numbered
from faults.conftest import SEED
from faults.operations import INFO, LABELS, Reference, do, operations, rows_of
from faults.warm import Warm

from bier.search import Index, create_index, open_index
from bier.search.check import check_index

SLOW = pytest.mark.slow
pytestmark = pytest.mark.timeout(900)
ENGINES = [
    ("exact", 150, 1),
    ("lancedb", 30, 1),
    pytest.param("exact", 5000, 1, marks=SLOW),
    pytest.param("lancedb", 1000, 5, marks=SLOW),  # which keeps all versions of an hour, and gets slow with them
    pytest.param("milvus", 5000, 1, marks=[SLOW, pytest.mark.milvus]),
]
"""The engine, the operations on an index, and the number of indexes."""


def compare(index: Index, reference: Reference, chance: random.Random) -> None:
    """A search, a look-up and a count."""
    query = np.array([chance.randint(1, 3), *(chance.randint(-3, 3) for _ in range(INFO.dimensions - 1))], np.float32)
    label = chance.choice([(), (), *LABELS])
    where = {} if label == () else {"label": label}
    expected = reference.search(query, top := chance.choice([1, 3, 40]), label)
    [hits] = index.search(query, top, where)
    assert [(hit.id, hit.score) for hit in hits] == expected
    names = chance.sample([*reference.rows, "nobody"], k=min(5, len(reference.rows) + 1))
    found = index.get(names)
    assert [record and (tuple(record.vector.tolist()), record.metadata["label"]) for record in found] == [
        reference.rows.get(name) for name in names
    ]
    assert index.count(where) == sum(label in ((), own) for _, own in reference.rows.values())


def work(folder: Path, engine: str, uri: str | None, count: int, chance: random.Random) -> tuple[int, int]:
    """Make operations on a new index, and compare all the time; gives how often it was opened, and searched."""
    reference, sequence, opened, searched = Reference(), operations(chance), 1, 0
    index = create_index(folder, INFO, engine, uri=uri)
    try:
        for number in range(count):
            operation = next(sequence)
            assert do(index, operation) == reference.do(operation), f"operation {number}: {operation}"
            if chance.random() < 0.3:
                compare(index, reference, chance)
                searched += 1
            if chance.random() < 0.02:
                index.close()
                index = open_index(folder)
                opened += 1
        assert rows_of(index) == reference.rows
        check_index(index)
    finally:
        index.close()
    return opened, searched


@pytest.mark.parametrize(("engine", "count", "indexes"), ENGINES)
def test_random_operations_agree_with_a_dictionary(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    chance: random.Random,
    tried: Callable[[str], None],
    engine: str,
    count: int,
    indexes: int,
) -> None:
    uri = request.getfixturevalue("milvus_server") if engine == "milvus" else None
    done = [work(tmp_path / str(number), engine, uri, count, chance) for number in range(indexes)]
    opened, searched = (sum(numbers) for numbers in zip(*done, strict=True))
    tried(f"operations, {engine}: {indexes * count} with {opened} openings and {searched} searches, no difference")


# --- two writers and readers ---


def add_own(index: Index, writer: str, names: list[str], number: int) -> None:
    index.add(names, numbered(number, len(names), INFO), [{"label": writer, "image": str(number)}] * len(names))


def write_own(folder: str, writer: str, count: int) -> None:
    """In a child: replace and delete rows of this writer alone, all of one add with the same number."""
    chance = random.Random(f"{SEED} {writer}")
    with open_index(Path(folder)) as index:
        for number in range(count):
            names = [f"{writer}-{row}" for row in range(8)]
            add_own(index, writer, names, number + 1)
            if chance.random() < 0.2:
                index.delete(names)
            if chance.random() < 0.1:
                index.flush()
        add_own(index, writer, names, count + 1)


def write_both(folder: str, count: int) -> None:
    """In a child: two processes, a and b."""
    pid = os.fork()
    write_own(folder, "a" if pid else "b", count)
    if pid:
        _, status = os.waitpid(pid, 0)
        assert status == 0, "the other writer failed"


def whole(index: Index, writer: str) -> int:
    """The number that all rows of a writer carry; 0 where there is none."""
    query = np.ones(INFO.dimensions)
    [hits] = index.search(query, top=50, where={"label": writer})
    numbers = {int(hit.metadata["image"]) for hit in hits}
    assert len(hits) in (0, 8) and len(numbers) <= 1, f"half an add: {hits}"
    number = numbers.pop() if numbers else 0
    assert [hit.score for hit in hits] == pytest.approx((numbered(number, len(hits), INFO) @ query).tolist())
    return number


@pytest.mark.parametrize(
    ("engine", "count"),
    [("exact", 8), pytest.param("exact", 300, marks=SLOW), pytest.param("lancedb", 100, marks=SLOW)],
)
def test_readers_beside_two_writers_see_whole_adds_in_their_order(
    warm: Warm, tmp_path: Path, tried: Callable[[str], None], engine: str, count: int
) -> None:
    folder = tmp_path / "index"
    create_index(folder, INFO, engine).close()
    searches, seen = 0, {"a": 0, "b": 0}
    with open_index(folder) as reader:
        writers = warm.start("faults.test_operations:write_both", str(folder), count)
        while min(seen.values()) <= count and Path(f"/proc/{writers.pid}").exists():
            for writer in seen:
                number = whole(reader, writer)
                assert number == 0 or number >= seen[writer], "what was replaced is seen again"
                seen[writer] = max(seen[writer], number)
                searches += 1
            scanned = [record.id for rows in reader.scan(batch=3) for record in rows.records()]
            assert len(scanned) == len(set(scanned))
        ended = writers.wait()
        assert ended.code == 0, ended
        assert {writer: whole(reader, writer) for writer in seen} == {"a": count + 1, "b": count + 1}
    tried(f"two writers, {engine}: {2 * count} adds, {searches} searches beside them, none of half an add")
