"""How an index grows: filling, disk, and the cost of each kind of search, from 10,000 vectors to a million.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --folder FOLDER [--counts 10000 100000 1000000] [--engine lancedb]

The vectors are drawn: clusters of some fifty in a space of 48 directions, and noise, cut into learners of 85, 171 and
256 dimensions. Queries are drawn alike and not stored. Times are CPU time of all threads, in milliseconds a query, the
median of several; recall@10 is the share of the exact ten nearest. The last column is the growth from the smallest
index to the largest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bier.search import Hit, Index, IndexInfo, create_index, open_index
from bier.search.approximate import ApproximateIndex
from bier.search.fill import ROWS_AT_ONCE

SIZES = (85, 171, 256)
SCALES = tuple((size / sum(SIZES)) ** 0.5 for size in SIZES)
INFO = IndexInfo("drawn", SIZES, SCALES)
DIRECTIONS, A_CLUSTER, CLASSES = 48, 50, 200
QUERIES, BATCH = 50, 128
Vectors = NDArray[np.float32]
Figures = dict[str, float]


def drawn(count: int, clusters: int, seed: int) -> Vectors:
    """(count, 512) retrieval vectors."""
    fixed, draw = np.random.default_rng(99), np.random.default_rng(seed)
    centres = fixed.standard_normal((clusters, DIRECTIONS), np.float32)
    spread = fixed.standard_normal((DIRECTIONS, sum(SIZES)), np.float32) / DIRECTIONS**0.5
    near = centres[draw.integers(0, clusters, count)] + 0.6 * draw.standard_normal((count, DIRECTIONS), np.float32)
    made = near @ spread + 0.25 * draw.standard_normal((count, sum(SIZES)), np.float32)
    parts = np.split(made, np.cumsum(SIZES)[:-1], axis=1)
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    return np.concatenate([s * part / n for s, part, n in zip(SCALES, parts, lengths, strict=True)], axis=1)


def portions(count: int) -> Iterator[tuple[list[str], Vectors, list[dict[str, str]]]]:
    for start in range(0, count, ROWS_AT_ONCE):
        rows = range(start, min(start + ROWS_AT_ONCE, count))
        fields = [{"image": f"/photos/{row}.jpg", "label": f"class {row * CLASSES // count}"} for row in rows]
        yield [f"{row:09d}" for row in rows], drawn(len(rows), count // A_CLUSTER, start), fields


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def each(work: Callable[[int], object], count: int) -> float:
    """Milliseconds of one of so many, the median; the first does not count."""
    work(0)
    return 1000 * statistics.median(seconds(lambda number=number: work(number)) for number in range(count))  # type: ignore[misc]


def recall(found: list[list[Hit]], exact: list[list[Hit]]) -> float:
    """Share of the exact hits that were found."""
    shares = [
        len({hit.id for hit in one} & {hit.id for hit in other}) / 10 for one, other in zip(found, exact, strict=True)
    ]
    return float(np.mean(shares))


def within(index: Index, queries: Vectors, percent: int) -> Figures:
    """Of searches with a filter that leaves so many."""
    some = {"label": [f"class {n}" for n in range(CLASSES * percent // 100)]}
    return {
        f"search within {percent} %": each(lambda n: index.search(queries[n], where=some), 10),
        f"exact within {percent} %": each(lambda n: index.search(queries[n], where=some, exact=True), 3),
        f"recall@10 within {percent} %": recall(
            index.search(queries, where=some), index.search(queries, where=some, exact=True)
        ),
    }


def measured(folder: Path, count: int, engine: str, wanted: float) -> Figures:
    found: Figures = {}
    if not (folder / "index.json").exists():
        with create_index(folder, INFO, engine) as index:
            filling = 0.0
            for portion in portions(count):
                filling += seconds(lambda portion=portion: index.add(*portion))  # type: ignore[misc]
            found["filling, s"] = filling
            found["tidying, s"] = seconds(index.flush)
            if isinstance(index, ApproximateIndex):
                found["approximate index and its recall, s"] = seconds(lambda: index.tune(wanted, print))
    found["opening, s"] = seconds(lambda: open_index(folder).close())
    files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    found["disk, times the vectors"] = files / (4 * count * sum(SIZES))
    queries = drawn(BATCH, count // A_CLUSTER, -1 % 2**32)
    with open_index(folder) as index:
        exact = index.search(queries, exact=True)
        found["exact, one query"] = each(lambda n: index.search(queries[n], exact=True), 3)
        found[f"exact, {BATCH} at once"] = 1000 * seconds(lambda: index.search(queries, exact=True)) / BATCH
        found["search, one query"] = each(lambda n: index.search(queries[n]), QUERIES)
        found["recall@10"] = recall(index.search(queries), exact)
        found["search within 0.5 %"] = each(lambda n: index.search(queries[n], where={"label": f"class {n}"}), 10)
        for percent in (5, 50):
            found |= within(index, queries, percent)
        found["by id"] = each(lambda n: index.get([f"{n:09d}"]), QUERIES)
        found["counting 0.5 %"] = each(lambda n: index.count({"label": f"class {n}"}), QUERIES)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the indexes; kept, and used again")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--engine", default="lancedb")
    parser.add_argument("--recall", type=float, default=0.98)
    arguments = parser.parse_args()
    columns = []
    for count in arguments.counts:
        folder = arguments.folder / f"{arguments.engine}-{count}"
        columns.append(measured(folder, count, arguments.engine, arguments.recall))
        print(count, columns[-1], flush=True)
    counts = " | ".join(f"{count:,}" for count in arguments.counts)
    print(f"| {arguments.engine}, CPU time in ms | {counts} | growth |\n|---|{'---|' * (len(columns) + 1)}")
    for name in columns[0]:
        values = [column.get(name, float("nan")) for column in columns]
        growth = values[-1] / values[0] if values[0] else float("nan")
        print(f"| {name} | {' | '.join(f'{value:,.4g}' for value in values)} | {growth:.3g} |", flush=True)


if __name__ == "__main__":
    main()
