"""Random operations on an index, and a plain dictionary that says what is right."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bier.search import Index, IndexInfo, open_index

INFO = IndexInfo("fingerprint-of-a-model", sizes=(3, 5), scales=(5.0, 2.0))
LABELS = ["boots", "", "Schühe", "a'b\"c", "%_", None]
NAMES = 60
"""Few enough that many are added again, deleted, and deleted again."""

Operation = tuple[str, list[str], int]
"""What is done, to which ids, and the number that its vectors and labels come from."""


def operations(chance: random.Random) -> Iterator[Operation]:
    """Without an end."""
    while True:
        kind = chance.choices(["add", "delete", "flush"], [60, 35, 5])[0]
        names = chance.sample(range(NAMES), chance.randint(1, 6))
        yield kind, [f"{number:02}/ä'{number}.jpg" for number in names], chance.randrange(1_000_000)


def vectors_of(operation: Operation) -> np.ndarray:
    """Whole numbers: many scores are equal, and their order by ids is tried. Each learner's part has its length."""
    _, names, number = operation
    drawn = np.random.default_rng(number)
    parts = [drawn.permuted(np.tile(part, (len(names), 1)), axis=1) for part in ([0, 3, 4], [0, 1, 1, 1, 1])]
    vectors = np.concatenate(parts, axis=1)
    return (vectors * drawn.choice([-1, 1], vectors.shape)).astype(np.float32)


def label_of(operation: Operation, row: int) -> str | None:
    return LABELS[(operation[2] + row) % len(LABELS)]


def do(index: Index, operation: Operation) -> int | None:
    """The number of those deleted, which the index tells."""
    kind, names, _ = operation
    if kind == "add":
        labels = [{"label": label_of(operation, row)} for row in range(len(names))]
        index.add(names, vectors_of(operation), labels)
    elif kind == "delete":
        return index.delete(names)
    else:
        index.flush()
    return None


class Reference:
    """The dictionary: an id to its vector and label."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[tuple[float, ...], str | None]] = {}

    def do(self, operation: Operation) -> int | None:
        kind, names, _ = operation
        if kind == "add":
            for row, (name, vector) in enumerate(zip(names, vectors_of(operation).tolist(), strict=True)):
                self.rows[name] = tuple(vector), label_of(operation, row)
        elif kind == "delete":
            return sum(self.rows.pop(name, None) is not None for name in names)
        return None

    def search(self, query: np.ndarray, top: int, label: str | tuple[()] | None) -> list[tuple[str, float]]:
        """With ``()`` as label: of any."""
        scores = {
            name: float(np.dot(query.astype(float), vector))
            for name, (vector, own) in self.rows.items()
            if label == () or own == label
        }
        return sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:top]


def rows_of(index: Index) -> dict[str, tuple[tuple[float, ...], str | None]]:
    """All that an index holds, each id once."""
    found = {}
    for rows in index.scan(batch=7):
        for record in rows.records():
            assert record.id not in found, f"{record.id} is there twice"
            found[record.id] = tuple(record.vector.tolist()), record.metadata["label"]
    assert index.count() == len(found)
    return found


def write(folder: str, seed: str, skipped: int, count: int) -> None:
    """In a child: make operations, and acknowledge each on a line of its own."""
    made = operations(random.Random(seed))
    for _ in range(skipped):
        next(made)
    with open_index(Path(folder)) as index:
        for _ in range(count):
            do(index, next(made))
            sys.stdout.write("done\n")
            sys.stdout.flush()
