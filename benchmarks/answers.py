"""What it costs to judge the answers of a search: CPU time of a query with and without a calibration.

    OMP_NUM_THREADS=1 python benchmarks/answers.py [--rows 10000] [--engine lancedb] [--rounds 5]

The index holds made vectors of 512 dimensions, 20 of each class. Each round asks 50 queries one by one, both ways in
turn. Times are CPU times of the whole process, medians of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bier.confidence.fitting import calibrate
from bier.search import ConfidentSearch, IndexInfo, create_index

SIZES = (85, 171, 256)
EACH, QUERIES = 20, 50
INFO = IndexInfo("made", SIZES, tuple(((np.array(SIZES) / sum(SIZES)) ** 0.5).tolist()))


def vectors(count: int, seed: int) -> tuple[NDArray[np.float32], list[str]]:
    """Around a centre for each class, each learner's part of its length."""
    classes = -(-count // EACH)
    centres = np.random.default_rng(0).normal(size=(classes, sum(SIZES))).repeat(EACH, axis=0)[:count]
    made = centres + 1.5 * np.random.default_rng(seed).normal(size=centres.shape)
    parts = zip(np.split(made, np.cumsum(SIZES)[:-1], axis=1), INFO.scales, strict=True)
    scaled = [scale * part / np.linalg.norm(part, axis=1, keepdims=True) for part, scale in parts]
    return np.concatenate(scaled, axis=1).astype(np.float32), [f"class-{row // EACH}" for row in range(count)]


def seconds(search: ConfidentSearch, queries: NDArray[np.float32]) -> float:
    began = time.process_time()
    for query in queries:
        search.search(query, 10)
    return (time.process_time() - began) / len(queries)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--engine", default="lancedb")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    stored, labels = vectors(arguments.rows, seed=1)
    queries = vectors(arguments.rows, seed=2)[0][:: max(1, arguments.rows // QUERIES)]
    learned = calibrate(stored[:400], labels[:400], stored[:400], labels[:400], SIZES, itself=np.arange(400))
    with (
        tempfile.TemporaryDirectory() as folder,
        create_index(Path(folder) / "index", INFO, arguments.engine) as index,
    ):
        index.add([str(row) for row in range(len(stored))], stored, [{"label": label} for label in labels])
        ways = {"plain": ConfidentSearch(index, None), "judged": ConfidentSearch(index, learned)}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds + 1):
            for name, search in ways.items():
                times[name].append(seconds(search, queries))
    for name, measured in times.items():
        print(f"{name:8}{1000 * statistics.median(measured[1:]):8.2f} ms a query")


if __name__ == "__main__":
    main()
