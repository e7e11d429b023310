"""What a search within a filter costs and finds: exactly, and by each setting of the approximate index.

    OMP_NUM_THREADS=1 python benchmarks/filters.py --folder FOLDER [--count 1000000] [--shares 0.5 0.1 0.025]

The index is that of benchmarks/scale.py, of the engine lancedb. Queries are 400 of its pictures. A filter lets through
the pictures in the middle of the order of ids. Times are CPU time of all threads, in milliseconds a query.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from bier.search import open_index
from bier.search.approximate import QUERIES, TOP, ApproximateIndex, middle, recall_of
from bier.search.measured import in_words

ENOUGH = 0.995
"""Recall after which no further setting is tried."""
Result = TypeVar("Result")


def timed(work: Callable[[], Result], queries: int) -> tuple[Result, float]:
    """What work gives, and milliseconds a query."""
    started = time.process_time()
    result = work()
    return result, 1000 * (time.process_time() - started) / queries


def measure(index: ApproximateIndex, share: float) -> None:
    asked = index._sample(QUERIES)
    filters = middle(asked.ids, share)
    exact, many = timed(lambda: index._exactly(asked.vectors, filters, lambda seen: None), QUERIES)
    _, one = timed(lambda: [index._nearest(asked.vectors[:1], TOP, filters) for _ in range(3)], 3)
    print(f"\n{index._count(filters):,} pictures\n\n| searched | ms a query | recall@10 |\n|---|---|---|")
    print(f"| exactly, one query | {one:,.0f} | 1 |\n| exactly, {QUERIES} at once | {many:.1f} | 1 |", flush=True)
    for setting in index.ladder:
        found, each = timed(partial(index._search, asked.vectors, TOP + 1, filters, setting), QUERIES)
        recall = recall_of(found, exact, asked.ids)
        print(f"| {in_words(setting)} | {each:.1f} | {recall:.4f} |", flush=True)
        if recall >= ENOUGH:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of benchmarks/scale.py")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.1, 0.025])
    arguments = parser.parse_args()
    with open_index(arguments.folder / f"lancedb-{arguments.count}") as index:
        assert isinstance(index, ApproximateIndex)
        for share in arguments.shares:
            measure(index, share)


if __name__ == "__main__":
    main()
