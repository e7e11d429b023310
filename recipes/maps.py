"""What does a map cost, and how well does it keep neighbours?

    python recipes/maps.py INDEX [--counts 1000 3000 10000] [--seeds 0 1 2]

INDEX is any index of enough pictures. For each count, pictures are drawn, and their map is made. It prints the seconds
of one core, the peak memory of the process, and how many of the ten nearest neighbours of each picture are among the
ten nearest on the map. Beside it stand the two principal components.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bier.search import open_index
from bier.system.allocator import keep_freed_memory
from bier.vectors.planar import planar, principal

NEIGHBOURS = 10
_TILE = 512


def drawn(index: Path, count: int, seed: int) -> NDArray[np.float32]:
    """Vectors of so many pictures of an index, at unit length."""
    with open_index(index) as opened:
        vectors = np.concatenate([rows.vectors for rows in opened.scan()])
    chosen = vectors[np.random.default_rng(seed).permutation(len(vectors))[:count]]
    unit: NDArray[np.float32] = chosen / np.linalg.norm(chosen, axis=1, keepdims=True)
    return unit


def nearest(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n, 10) rows of the nearest others, by distance."""
    found, lengths = [], (points**2).sum(1)
    for top in range(0, len(points), _TILE):
        tile = points[top : top + _TILE]
        scores = 2 * tile @ points.T - lengths
        scores[np.arange(len(tile)), top + np.arange(len(tile))] = -np.inf
        found.append(np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS])
    return np.concatenate(found)


def kept(wanted: NDArray[np.int64], points: NDArray[np.float32]) -> float:
    """Share of the wanted neighbours that are the nearest on a plane as well, in percent."""
    there = (wanted[:, :, None] == nearest(points - points.mean(0))[:, None, :]).any(2)
    return 100 * float(there.mean())


def measured(vectors: NDArray[np.float32], seed: int) -> tuple[float, float, float]:
    """Seconds of one core, and the shares that the map and the principal components keep."""
    began = time.process_time()
    places = planar(vectors, seed)
    seconds = time.process_time() - began
    wanted = nearest(vectors)
    return seconds, kept(wanted, places), kept(wanted, principal(vectors).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    keep_freed_memory()
    print("| pictures | seconds | peak memory, MB | neighbours kept, % | by two principal components |")
    print("|---|---|---|---|---|")
    for count in sorted(given.counts):
        figures = [measured(drawn(given.index, count, seed), seed) for seed in given.seeds]
        seconds, *shares = np.mean(figures, axis=0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = " | ".join(
            f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(shares, np.std(figures, axis=0)[1:], strict=True)
        )
        print(f"| {count:,} | {seconds:.0f} | {peak:.0f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
