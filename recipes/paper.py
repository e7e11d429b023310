"""The paper's own experiments on its five benchmarks, and a table beside the published figures.

    python recipes/paper.py --data ROOT [--set cub cars sop inshop vehicleid] [--only bier a-bier] [--seeds 0]
                            [--out runs/paper] [--with KEY=VALUE ...]
    python recipes/paper.py --out runs/paper --table

ROOT holds the benchmarks as they are unpacked; FOLDERS below has the names. A contender that is finished is not trained
again, and one that was interrupted goes on. ``--with`` changes any setting, for a try of some steps or for weights on
this machine: ``--with optimizer.epochs=1 model.weights=googlenet.pth``.

What is as published: GoogLeNet at 224 px, padded with white; 512 dimensions cut 96/160/256; the binomial deviance with
its constants, additive boosting with shrinkage 0.06, and each diversity loss with its weights; Adam at 1e-5, ten times
that for the head, weight decay 2e-4; on Stanford Online Products batches of 64 x 2 and 100,000 of them.

What is not: torchvision's GoogLeNet has batch norm, kept as it is, where the paper's had local response normalisation.
The weight decay is AdamW's. Rates fall along a cosine instead of by halves. Batches and lengths of the other four sets
are ours: we know of no published ones.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tables import spread

from bier import runs
from bier.data import open_source
from bier.errors import BierError, ConfigError
from bier.records.folder import RunFolder
from bier.records.metrics import Metrics, Row
from bier.records.provenance import is_finished
from bier.settings.reading import override
from bier.settings.schema import Config
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console

AS_PUBLISHED = Config().replace(
    data__validation_classes=0.0,  # the paper trains on all classes, and keeps the last weights
    image__size=224,
    image__fit="pad",
    image__color_jitter=0.0,
    model__backbone="googlenet",
    model__pooling="average",
    model__start="random",
    model__sizes=(96, 160, 256),
    model__refit=False,
    loss__name="binomial_deviance",
    loss__schedule="additive",
    diversity__loss="none",
    optimizer__learning_rate=1e-5,
    optimizer__head_factor=10.0,
    optimizer__weight_decay=2e-4,
    optimizer__warmup=0.0,
)
CONTENDERS: dict[str, tuple[str, dict[str, object]]] = {
    "one": ("one embedding", {"model__sizes": (512,), "loss__schedule": "independent"}),
    "boosted": ("boosting alone", {}),
    "bier": ("BIER: activation loss", {"diversity__loss": "activation", "diversity__initialize": True}),
    "a-bier": ("A-BIER: adversarial loss", {"diversity__loss": "adversarial"}),
}
"""Title and settings, in the order of the table."""


@dataclass(frozen=True)
class Benchmark:
    title: str
    format: str
    folder: str
    """As it is unpacked, in ROOT."""
    classes: int
    images: int
    """Of a batch: so many classes of so many images."""
    batches: int
    """In the whole of training."""
    recall_at: tuple[int, ...]
    published: dict[str, dict[int, float]]
    """Recall@K in percent by contender (method: "Published results")."""
    lists: tuple[int, ...] = ()
    """Test lists of VehicleID, by their cars; published Recall@1 is in their order."""

    def config(self, contender: str, training_images: int, seed: int, changes: Sequence[str]) -> Config:
        batch = self.classes * self.images
        config = AS_PUBLISHED.replace(
            seed=seed,
            data__format=self.format,
            data__classes_per_batch=self.classes,
            data__images_per_class=self.images,
            optimizer__epochs=math.ceil(self.batches / max(1, training_images // batch)),
            **CONTENDERS[contender][1],
        )
        return override(config, tuple(changes))


BENCHMARKS = {
    "cub": Benchmark(
        "CUB-200-2011",
        "cub",
        "CUB_200_2011",
        16,
        4,
        10_000,
        (1, 2, 4, 8),
        {"one": {1: 52.8}, "bier": {1: 55.3}, "a-bier": {1: 57.5, 2: 68.7, 4: 78.3, 8: 86.2}},
    ),
    "cars": Benchmark(
        "Cars-196",
        "cars196",
        "cars196",
        16,
        4,
        15_000,
        (1, 2, 4, 8),
        {"bier": {1: 78.0}, "a-bier": {1: 82.0}},
    ),
    "sop": Benchmark(
        "Stanford Online Products",
        "sop",
        "Stanford_Online_Products",
        64,
        2,
        100_000,
        (1, 10, 100, 1000),
        {"one": {1: 65.5}, "bier": {1: 72.7}, "a-bier": {1: 74.2, 10: 86.9, 100: 94.0}},
    ),
    "inshop": Benchmark(
        "In-Shop Clothes Retrieval",
        "inshop",
        "In-shop",
        64,
        2,
        50_000,
        (1, 10, 20, 30, 40, 50),
        {"bier": {1: 76.9}, "a-bier": {1: 83.1, 10: 95.1, 20: 96.9}},
    ),
    "vehicleid": Benchmark(
        "VehicleID",
        "vehicleid",
        "VehicleID_V1.0",
        64,
        2,
        100_000,
        (1, 5),
        {"bier": {800: 82.6, 1600: 79.3, 2400: 76.0}, "a-bier": {800: 86.3, 1600: 83.3, 2400: 81.9}},
        lists=(800, 1600, 2400),
    ),
}


def train_all(
    data: Path,
    out: Path,
    names: Sequence[str],
    contenders: Sequence[str],
    seeds: Sequence[int],
    changes: Sequence[str],
    console: Console,
) -> None:
    """Train and evaluate what is not finished yet.

    Raises:
        BierError: before anything is trained, where a benchmark is not there.
    """
    for name in names:
        if not (data / BENCHMARKS[name].folder).is_dir():
            raise ConfigError(
                f"no folder {BENCHMARKS[name].folder!r}, so there is no {BENCHMARKS[name].title}",
                where=data,
                remedy="unpack the benchmark there, or choose others with --set",
            )
    for name in names:
        benchmark, source = BENCHMARKS[name], str(data / BENCHMARKS[name].folder)
        images = len(open_source(source, benchmark.config("one", 1, 0, changes).data).only("train"))
        for contender in contenders:
            for seed in seeds:
                console.rule(f"{benchmark.title}: {CONTENDERS[contender][0]}, seed {seed}")
                folder = out / name / f"{contender}-{seed}"
                train(source, benchmark.config(contender, images, seed, changes), folder, console)
                evaluate(benchmark, folder, console)


def train(source: str, config: Config, folder: Path, console: Console) -> None:
    if RunFolder(folder).checkpoints:
        runs.resume(folder, console, evaluate_after=False)
    elif not is_finished(folder):
        runs.train(source, config, folder, console, evaluate_after=False)


def evaluate(benchmark: Benchmark, folder: Path, console: Console) -> None:
    """Measure a run by its benchmark's protocol, once for each test list."""
    for size in benchmark.lists or (None,):
        file = metrics_file(folder, size)
        if not file.exists():
            changes = () if size is None else (f"data.vehicleid_list={size}",)
            runs.evaluate(folder, None, console, overrides=changes, output=file, recall_at=benchmark.recall_at)


def metrics_file(folder: Path, size: int | None) -> Path:
    return RunFolder(folder).metrics if size is None else folder / f"metrics-{size}.json"


def whole(file: Path) -> Row:
    return next(row for row in Metrics.load(file).rows if row.kind == "ensemble")


def table(out: Path, name: str) -> Iterator[str]:
    """The lines of a benchmark's table: published figures and ours, Recall@K in percent."""
    benchmark = BENCHMARKS[name]
    columns = benchmark.lists or benchmark.recall_at
    heads = [f"R@1, {size} cars" if benchmark.lists else f"R@{size}" for size in columns]
    yield f"\n### {benchmark.title}\n"
    yield f"| embedding | | {' | '.join(heads)} | seeds |"
    yield f"|---|---|{'---|' * (len(columns) + 1)}"
    for contender, (title, _) in CONTENDERS.items():
        published = benchmark.published.get(contender, {})
        if published:
            cells = [f"{published[size]:.1f}" if size in published else "" for size in columns]
            yield f"| {title} | published | {' | '.join(cells)} | |"
        folders = [run for run in sorted((out / name).glob(f"{contender}-[0-9]*")) if is_measured(benchmark, run)]
        if folders:
            cells = [spread([found(benchmark, run, size) for run in folders]) for size in columns]
            yield f"| {title} | here | {' | '.join(cells)} | {len(folders)} |"


def is_measured(benchmark: Benchmark, run: Path) -> bool:
    return all(metrics_file(run, size).exists() for size in benchmark.lists or (None,))


def found(benchmark: Benchmark, run: Path, column: int) -> float:
    """What a cell of ours says: Recall@1 of a test list, or Recall@K."""
    if benchmark.lists:
        return whole(metrics_file(run, column)).recall[1]
    return whole(metrics_file(run, None)).recall[column]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="ROOT", help="the folder of the benchmarks' folders")
    parser.add_argument("--set", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), dest="names")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), dest="contenders")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/paper"))
    parser.add_argument("--with", nargs="+", default=[], dest="changes", metavar="KEY=VALUE", help="other settings")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there, and train nothing")
    given = parser.parse_args()
    if not given.table:
        if given.data is None:
            parser.error("--data ROOT is needed, the folder that holds the benchmarks; or give --table")
        keep_freed_memory()
        try:
            train_all(given.data, given.out, given.names, given.contenders, given.seeds, given.changes, plain_console())
        except BierError as error:
            raise SystemExit(f"error: {error}") from None
    for name in given.names:
        print("\n".join(table(given.out, name)))


if __name__ == "__main__":
    main()
