"""Search in stages beside LanceDB's approximate index: cost, recall and memory as an index grows.

    OMP_NUM_THREADS=1 python benchmarks/stages.py --folder FOLDER [--vectors VECTORS ...] [--counts 100000 1000000]

Without ``--vectors``, the vectors are those of benchmarks/scale.py, drawn. With folders that `bier embed` made of
labelled pictures, they are drawn from a trained model's: to one picture's vector, half the difference of two others of
its class is added, the same for all learners, and each learner's part gets its length back. A tenth of the pictures is
not indexed, and queries are drawn from it.

Times are CPU time of all threads, in milliseconds a query, medians of rounds in which all take turns. Recall@10 is the
share of the exact ten nearest. Memory is what the process grew by, at the end and at most, in sizes of the vectors.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from half import stored_vectors
from numpy.typing import NDArray
from scale import A_CLUSTER, CLASSES, INFO, drawn, seconds

from bier.search import Hit, Index, IndexInfo, StagedSearch, create_index, open_index
from bier.search.approximate import ApproximateIndex
from bier.search.fill import ROWS_AT_ONCE

QUERIES, BATCH, ROUNDS, FOR_TIME = 128, 128, 3, 10
Vectors = NDArray[np.float32]
Answers = list[list[Hit]]


class World(NamedTuple):
    """Where vectors come from."""

    name: str
    info: IndexInfo
    stored: Callable[[int, int, int], Vectors]
    """So many, of an index of so many, of a seed."""
    queries: Callable[[int, int], Vectors]
    """So many, for an index of so many."""


def drawn_world() -> World:
    return World(
        "drawn",
        INFO,
        lambda rows, count, seed: drawn(rows, count // A_CLUSTER, seed),
        lambda rows, count: drawn(rows, count // A_CLUSTER, -1 % 2**32),
    )


def trained_world(folders: list[Path]) -> World:
    infos, parts, codes = zip(*map(stored_vectors, folders), strict=True)
    starts = np.cumsum([0, *(own.max() + 1 for own in codes)])
    vectors = np.concatenate(parts)
    classes = np.concatenate([own + start for own, start in zip(codes, starts, strict=False)])
    order = np.random.default_rng(0).permutation(len(vectors))
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]
    info = IndexInfo("drawn from trained", infos[0].sizes, infos[0].scales)
    by_class = {name: kept[classes[kept] == name] for name in np.unique(classes[kept])}

    def more(chosen: NDArray[np.int64], draw: np.random.Generator) -> Vectors:
        own = [by_class.get(name, kept) for name in classes[chosen]]
        others = [np.array([rows[draw.integers(len(rows))] for rows in own]) for _ in range(2)]
        moved = vectors[chosen] + 0.5 * (vectors[others[0]] - vectors[others[1]])
        cut = np.split(moved, np.cumsum(info.sizes)[:-1], axis=1)
        lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in cut]
        return np.concatenate([s * part / n for s, part, n in zip(info.scales, cut, lengths, strict=True)], axis=1)

    def stored(rows: int, count: int, seed: int) -> Vectors:
        draw = np.random.default_rng(seed)
        return more(kept[draw.integers(0, len(kept), rows)], draw)

    return World("trained", info, stored, lambda rows, count: more(held[:rows], np.random.default_rng(1)))


def portions(world: World, count: int) -> Iterator[tuple[list[str], Vectors, list[dict[str, str]]]]:
    for start in range(0, count, ROWS_AT_ONCE):
        rows = range(start, min(start + ROWS_AT_ONCE, count))
        fields = [{"image": f"/photos/{row}.jpg", "label": f"class {row * CLASSES // count}"} for row in rows]
        yield [f"{row:09d}" for row in rows], world.stored(len(rows), count, start), fields


def made(folder: Path, world: World, count: int, recall: float) -> Path:
    place = folder / f"{world.name}-{count}"
    if not (place / "approximate.json").exists():
        with create_index(place, world.info) as index:
            for portion in portions(world, count):
                index.add(*portion)
            index.flush()
            assert isinstance(index, ApproximateIndex)
            index.tune(recall, print)
    return place


def megabytes(which: str) -> float:
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1000


def staged(index: Index, recall: float, found: dict[str, float]) -> StagedSearch:
    """A search in stages; what it takes to make one is noted."""
    Path("/proc/self/clear_refs").write_text("5")
    made: list[StagedSearch] = []
    before, vectors = megabytes("VmRSS"), index.count() * index.info.dimensions * 4e-6
    found["reading the index, s"] = seconds(lambda: made.append(StagedSearch(index, shortlist=1000)))
    found["memory, at most"] = (megabytes("VmHWM") - before) / vectors
    found["memory"] = (megabytes("VmRSS") - before) / vectors
    made.clear()
    (index.folder / "staged.json").unlink(missing_ok=True)
    together = seconds(lambda: made.append(StagedSearch(index, recall=recall, tell=print)))
    found["choosing the shortlist, s"] = together - found["reading the index, s"]
    return made[0]


def measured(place: Path, world: World, count: int, recall: float) -> dict[str, float]:
    found: dict[str, float] = {}
    with open_index(place) as index:
        queries = world.queries(QUERIES, count)
        exact = index.search(queries, exact=True)
        stages = staged(index, recall, found)
        assert stages.measured is not None
        assert isinstance(index, ApproximateIndex)
        found["shortlist"] = (stages.measured.setting or {})["shortlist"]
        found["recall@10, in stages"] = share(stages.search(queries), exact)
        found["recall@10, approximate index"] = share(index.search(queries), exact)
        some = {"label": "class 7"}
        half = {"label": [f"class {number}" for number in range(CLASSES // 2)]}
        ways: dict[str, Callable[[Vectors], Any]] = {
            "exact": lambda asked: index.search(asked, exact=True),
            "approximate index": index.search,
            "in stages": stages.search,
            "approximate index, within 0.5 %": lambda asked: index.search(asked, where=some),
            "in stages, within 0.5 %": lambda asked: stages.search(asked, where=some),
            "approximate index, within 50 %": lambda asked: index.search(asked, where=half),
            "in stages, within 50 %": lambda asked: stages.search(asked, where=half),
        }
        found |= costs(ways, queries, 1, FOR_TIME)
        found |= {
            f"{way}, {BATCH} at once, each": cost
            for way, cost in costs(dict(list(ways.items())[:3]), queries, BATCH, 1).items()
        }
    return found


def costs(ways: dict[str, Callable[[Vectors], Any]], queries: Vectors, at_once: int, times: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            parts = [
                queries[start * at_once : (start + 1) * at_once] for start in range(1 if name == "exact" else times)
            ]
            each = [seconds(lambda part=part, way=way: way(part)) / len(part) * 1000 for part in parts]  # type: ignore[misc]
            if turn:  # the first warms up
                taken[name] += each
    return {name: statistics.median(values) for name, values in taken.items()}


def share(found: Answers, exact: Answers) -> float:
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len({hit.id for hit in one} & {hit.id for hit in other}) / 10 for one, other in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the indexes; kept, and used again")
    parser.add_argument("--vectors", type=Path, nargs="+")
    parser.add_argument("--counts", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--recall", type=float, default=0.98)
    arguments = parser.parse_args()
    world = trained_world(arguments.vectors) if arguments.vectors else drawn_world()
    columns = []
    for count in arguments.counts:
        columns.append(measured(made(arguments.folder, world, count, arguments.recall), world, count, arguments.recall))
        print(count, columns[-1], flush=True)
    print(f"| {world.name} | {' | '.join(f'{count:,}' for count in arguments.counts)} |\n|---|{'---|' * len(columns)}")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(f'{column[name]:,.4g}' for column in columns)} |", flush=True)


if __name__ == "__main__":
    main()
