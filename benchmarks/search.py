"""Cost of a search against its recall@10: exact scan and HNSW by faiss, and our search in stages.

    OMP_NUM_THREADS=1 python benchmarks/search.py SOURCE [SOURCE ...] --model RUN --cache FOLDER [--count 100000]

First, once, the photographs of all sources are embedded; the cache keeps the vectors. A held-out share of the
photographs is not indexed and serves as queries. Where the rest are fewer than ``--count``, each is stored in several
views: as it is, then in random crops, flips and colours as in training, until there are enough. Two kinds of queries:
*new photograph* is held out; *new view* is one more random view of an indexed photograph.

Cost is CPU time per query in one thread, the median of rounds in which all methods take turns, so that a busy machine
spoils none in particular. Recall@10 is the share of the exact ten nearest, in float64, that a method finds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast, get_args

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from bier.data import Manifest, TrainTransform, open_source, read_image
from bier.errors import ImageError
from bier.search.base import Precision
from bier.search.cascade import Cascade, Stages
from bier.settings.schema import DataConfig
from bier.vectors.encoder import Encoder

TOP = 10
Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Method = Callable[[Vectors], Rows]


def prepare(arguments: argparse.Namespace) -> dict[str, Vectors]:
    """Stored vectors and both kinds of queries, embedded once."""
    file = arguments.cache / "vectors.npz"
    if not file.exists():
        encoder = Encoder.load(arguments.model)
        pictures = _pictures([open_source(source, DataConfig()) for source in arguments.sources])
        held_out, kept = pictures[: arguments.held_out], pictures[arguments.held_out :]
        views = -(-arguments.count // len(kept))
        chosen = kept[:: max(1, len(kept) // arguments.held_out)][: arguments.held_out]
        arrays = {
            "stored": _embed(encoder, kept, range(views))[: arguments.count],
            "new photograph": _embed(encoder, held_out, range(1)),
            "new view": _embed(encoder, chosen, range(views, views + 1)),
            "sizes": np.array(encoder.sizes),
        }
        arguments.cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, allow_pickle=False, **arrays)
    return dict(np.load(file))


def _pictures(manifests: list[Manifest]) -> list[Path]:
    paths = [manifest.path(row) for manifest in manifests for row in range(len(manifest))]
    return [paths[row] for row in np.random.default_rng(0).permutation(len(paths))]


def _embed(encoder: Encoder, paths: list[Path], views: range) -> Vectors:
    """All first views, then all second ones, and so on; a picture is decoded once."""
    random = TrainTransform(encoder.transform.size, encoder.transform.fit)
    made: list[Vectors] = []
    for position, path in enumerate(paths):
        try:
            picture = read_image(path)
        except ImageError:
            continue
        images = [
            random(picture, torch.Generator().manual_seed(position * 1000 + view))
            if view
            else encoder.transform(picture)
            for view in views
        ]
        made.append(encoder.encode(images).numpy())
        if position % 500 == 0:
            print(f"embedded {position:,} of {len(paths):,} photographs", flush=True)
    return np.concatenate(np.stack(made, 1))


def methods(stored: Vectors, sizes: list[int], cache: Path) -> dict[str, Method]:
    """What is compared: from queries to the rows of their ten nearest."""
    flat = faiss.IndexFlatIP(stored.shape[1])
    flat.add(stored)
    found: dict[str, Method] = {"exact scan (faiss)": lambda queries: flat.search(queries, TOP)[1]}
    graph = _graph(stored, cache)
    for breadth in (16, 32, 64, 128):
        found[f"HNSW32 (faiss), efSearch {breadth}"] = partial(_walk, graph, breadth)
    for precision in get_args(Precision):
        stages = Stages(tuple(sizes), precision)
        cascade = Cascade([stages.block(stored)], stages)
        for shortlist in (100, 200, 300, 500, 1000, 2000):
            found[f"staged, {precision}, shortlist {shortlist}"] = partial(_descend, cascade, shortlist)
    return found


def _graph(stored: Vectors, cache: Path) -> faiss.IndexHNSWFlat:
    file = cache / "hnsw.faiss"
    if not file.exists():
        graph = faiss.IndexHNSWFlat(stored.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        started = time.process_time()
        graph.add(stored)
        print(f"HNSW32 was built in {time.process_time() - started:.0f} s of CPU time", flush=True)
        faiss.write_index(graph, str(file))
    return cast(faiss.IndexHNSWFlat, faiss.read_index(str(file)))


def _walk(graph: faiss.IndexHNSWFlat, breadth: int, queries: Vectors) -> Rows:
    graph.hnsw.efSearch = breadth
    return graph.search(queries, TOP)[1]


def _descend(cascade: Cascade, shortlist: int, queries: Vectors) -> Rows:
    return np.stack([rows for rows, _ in cascade.nearest(queries, TOP, shortlist)])


def exact(stored: Vectors, queries: Vectors) -> Rows:
    scores = np.concatenate([queries.astype(np.float64) @ part.T for part in np.array_split(stored, 50)], axis=1)
    return np.argpartition(-scores, TOP - 1, axis=1)[:, :TOP]


def recall(found: Rows, best: Rows) -> float:
    return float(np.mean([len(set(some) & set(all_)) / TOP for some, all_ in zip(found, best, strict=True)]))


def costs(found: dict[str, Method], queries: Vectors, rounds: int, at_once: int) -> dict[str, float]:
    """Milliseconds of CPU time per query of each method, the median of rounds."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(rounds + 1):
        for name, method in found.items():
            started = time.process_time()
            for start in range(0, len(queries), at_once):
                method(queries[start : start + at_once])
            if turn:  # the first warms up
                times[name].append((time.process_time() - started) / len(queries) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    data = prepare(arguments)
    stored, kinds = data["stored"], {name: data[name] for name in ("new photograph", "new view")}
    print(f"{len(stored):,} vectors of {' + '.join(map(str, data['sizes']))} dimensions")
    found = methods(stored, data["sizes"].tolist(), arguments.cache)
    recalls = {
        kind: {name: recall(method(queries), best) for name, method in found.items()}
        for kind, queries in kinds.items()
        for best in [exact(stored, queries)]
    }
    queries = kinds["new photograph"]
    single = costs(found, queries[:50], arguments.rounds, at_once=1)
    batch = costs(found, queries[:512], arguments.rounds, at_once=512)
    base = "exact scan (faiss)"
    heads = ["method", "one query, ms", "times cheaper", "512 at once, ms each", "times cheaper"]
    heads += [f"recall@10, {kind}" for kind in kinds]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in found:
        cells = [f"{single[name]:.2f}", f"{single[base] / single[name]:.1f}"]
        cells += [f"{batch[name]:.3f}", f"{batch[base] / batch[name]:.1f}"]
        cells += [f"{recalls[kind][name]:.4f}" for kind in kinds]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
