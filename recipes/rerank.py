"""What re-ranking brings and costs: query expansion, database augmentation, k-reciprocal encodings.

    python recipes/rerank.py run   RUN [RUN ...] [--out runs/rerank]
    python recipes/rerank.py table [--out runs/rerank]
    python recipes/rerank.py cost  [--sizes 1000 10000 100000]

``run`` passes the pictures of each run through its model once, and keeps the vectors. It chooses the options of each
method by MAP@R on validation classes, which are searched among training pictures as during training. Then it measures
these and the usual options once on test classes. ``cost`` times single queries of indexes of made vectors. Each uses
one thread.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from bier.data import TestTransform, open_source, with_distractors
from bier.evaluate import RetrievalResult, evaluate_retrieval
from bier.evaluate.reranked import evaluate_reranked
from bier.evaluate.retrieval import Options
from bier.method.ensemble import boosting_weights, normalize
from bier.method.reranking import METHODS, Reranking, parse
from bier.network.model_file import load_model
from bier.records.folder import RunFolder
from bier.records.provenance import Provenance
from bier.runs import build
from bier.runs.splits import held_out
from bier.search import IndexInfo, create_index
from bier.search.reranked import RankAgain
from bier.settings.reading import load
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console
from bier.system.files import write_atomically, write_json
from bier.vectors.embed import embed

GRIDS: dict[str, dict[str, Sequence[float]]] = {
    "alpha-qe": {"n": (2, 5, 10, 20), "alpha": (0, 1, 3)},
    "dba": {"n": (2, 5, 10, 20), "alpha": (0, 1, 3, 6)},
    "k-reciprocal": {"k1": (10, 20, 30), "k2": (1, 3, 6), "lambda": (0.1, 0.3, 0.5)},
}
"""Options that a choice is made from, beside the usual number of first hits."""
METRICS = ("map_at_r", "map")
MOST_QUERIES = {"val": 100, "test": 1000}
"""Pictures that search, spread evenly over those of a split; all others are searched."""
TIMED = 20
"""Queries of an index, one after the other."""

Found = dict[str, float]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """Outputs of the learners, and who searches whom."""

    learners: list[torch.Tensor]
    labels: Rows
    queries: Rows
    """Positions; each searches all others."""

    def plain(self) -> Found:
        weights = boosting_weights(len(self.learners))
        parts = [w.sqrt() * normalize(part) for w, part in zip(weights, self.learners, strict=True)]
        whole = torch.cat(parts, 1).float()
        result = evaluate_retrieval(
            whole[self.queries],
            self.labels[self.queries],
            gallery=whole,
            gallery_labels=self.labels,
            ids=self.queries,
            gallery_ids=np.arange(len(whole)),
            metrics=("recall", *METRICS),
        )
        return _figures(result)

    def reranked(self, reranking: Reranking) -> Found:
        started = time.process_time()
        result = evaluate_reranked(
            [part[self.queries] for part in self.learners],
            self.labels[self.queries],
            self.learners,
            self.labels,
            boosting_weights(len(self.learners)),
            reranking,
            Options((1,), ("recall", *METRICS)),
            ids=self.queries,
            gallery_ids=np.arange(len(self.labels)),
        )
        return {**_figures(result), "ms": 1000 * (time.process_time() - started) / len(self.queries)}


def _figures(result: RetrievalResult) -> Found:
    return {"R@1": result.recall[1], "MAP@R": result.figures["map_at_r"], "mAP": result.figures["map"]}


def pictures(run: Path, cache: Path, console: Console) -> tuple[Pictures, Pictures]:
    """Of validation and of test."""
    if not cache.exists():
        write_atomically(cache, lambda file: _embed(run, file, console))
    with np.load(cache) as stored:
        outputs, labels, split, validation = (stored[key] for key in ("outputs", "labels", "split", "validation"))
        learners = torch.from_numpy(outputs).split(stored["sizes"].tolist(), 1)

    def part(rows: Rows, name: str) -> Pictures:
        queries = np.flatnonzero(split[rows] == name)
        step = -(-len(queries) // MOST_QUERIES[name])
        return Pictures([outputs[rows] for outputs in learners], labels[rows], queries[::step])

    return part(np.flatnonzero(validation), "val"), part(np.flatnonzero(split == "test"), "test")


def _embed(run: Path, cache: Path, console: Console) -> None:
    files, provenance = RunFolder(run), Provenance.load(run)
    config = load(files.config)
    manifest = held_out(open_source(provenance.data.path, config.data), config, console)
    model, info = load_model(run)
    view = TestTransform.of(info.image)
    vectors = embed(model, manifest, transform=view, hardware=build.hardware(config))
    seen = manifest.take(vectors.index)
    searched = with_distractors(seen, config.data.validation_gallery, config.seed)
    with cache.open("wb") as file:
        np.savez(
            file,
            outputs=torch.cat(list(vectors.learners), 1).numpy(),
            sizes=np.array(model.head.sizes),
            labels=seen.codes(),
            split=seen.split.astype(str),
            validation=np.isin(seen.image, searched.image),
        )


def choices(name: str) -> Iterator[str]:
    """Ways to ask for a method, each with other options."""
    grid = GRIDS[name]
    for values in itertools.product(*grid.values()):
        yield ",".join([name, *(f"{key}={value:g}" for key, value in zip(grid, values, strict=True))])


def measure(run: Path, out: Path, console: Console) -> None:
    validation, test = pictures(run, out / f"{run.name}.npz", console)
    found: dict[str, Found] = {"plain": test.plain()}
    chosen: dict[str, str] = {}
    tried: dict[str, Found] = {"plain": validation.plain()}
    for name in METHODS:
        tried |= {text: validation.reranked(parse(text)) for text in choices(name)}
        chosen[name] = max(choices(name), key=lambda text: tried[text]["MAP@R"])
        console.print(f"{run.name}: {chosen[name]} of {len(tried):,} choices", soft_wrap=True)
    for text in dict.fromkeys([*METHODS, *chosen.values()]):
        found[text] = test.reranked(parse(text))
    write_json(out / f"{run.name}.json", {"test": found, "chosen": chosen, "validation": tried})


def print_table(out: Path) -> None:
    print("| model | re-ranking | R@1 | MAP@R | mAP | ms a query |\n|---|---|---|---|---|---|")
    for file in sorted(out.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        for text, row in content["test"].items():
            name = f"{text} (chosen)" if text in content["chosen"].values() else text
            cells = [f"{100 * row[key]:.1f}" for key in ("R@1", "MAP@R", "mAP")]
            cells.append(f"{row['ms']:.1f}" if "ms" in row else "")
            print(f"| {file.stem} | {name} | {' | '.join(cells)} |")


def print_cost(sizes: Sequence[int]) -> None:
    print("| engine | pictures | hits | searching, ms | " + " | ".join(f"{name}, ms more" for name in METHODS) + " |")
    print("|---|---|---|---|" + "---|" * len(METHODS))
    for engine, count in itertools.product(("exact", "lancedb"), sizes):
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {engine} | {count:,} | {' | '.join(_timed(engine, count, Path(folder) / 'index'))} |", flush=True)


def _timed(engine: str, count: int, folder: Path) -> list[str]:
    """Milliseconds of CPU time: of a search for 10 hits and for those that are ranked again, and of each method."""
    random = np.random.default_rng(0)
    dimensions, few = 512, 10
    vectors = random.standard_normal((count + TIMED, dimensions), dtype=np.float32)
    vectors += random.standard_normal((count // 20 + 1, dimensions), dtype=np.float32)[np.arange(count + TIMED) // 20]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with create_index(folder, IndexInfo("made", (dimensions,), (1.0,), engine=engine), engine) as index:
        for start in range(0, count, 10_000):
            part = vectors[start : min(start + 10_000, count)]
            index.add([f"{start + row}" for row in range(len(part))], part, [{}] * len(part))
        queries = vectors[count:]
        first = [RankAgain.asked(name).needed(few) for name in METHODS]
        index.ranked(queries[:1], max(first))
        search = {top: _median([_spent(index.ranked, query, top) for query in queries]) for top in (few, max(first))}
        found = [index.ranked(query, max(first))[0] for query in queries]
        again = [
            _median([_spent(RankAgain.asked(name), *pair) for pair in zip(queries, found, strict=True)])
            for name in METHODS
        ]
    return [
        f"{few} / {max(first)}",
        " / ".join(f"{each:.1f}" for each in search.values()),
        *(f"{t:.1f}" for t in again),
    ]


def _spent(work: object, *arguments: object) -> float:
    started = time.process_time()
    work(*arguments)  # type: ignore[operator]
    return 1000 * (time.process_time() - started)


def _median(values: list[float]) -> float:
    return float(np.median(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table", "cost"])
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--out", type=Path, default=Path("runs/rerank"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if given.action == "table":
        print_table(given.out)
    elif given.action == "cost":
        print_cost(given.sizes)
    else:
        for run in given.runs:
            measure(run, given.out, plain_console())


if __name__ == "__main__":
    main()
