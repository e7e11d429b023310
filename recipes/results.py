"""The comparison in docs/results.md: every contender, the same budget, three seeds, two datasets.

    python recipes/results.py run  [--data ../shared/data] [--out runs/results] [--seeds 0 1 2] [--part 0/2] \\
                                  [--only single stagewise ...]
    python recipes/results.py table [--out runs/results] > docs/results-tables.md

``run`` trains what is not there yet, so it can be stopped and started again; two of them with ``--part 0/2`` and
``--part 1/2`` share the work. Each uses one thread, which on two cores is faster than one run with two.

All contenders share the backbone and its weights, input size, embedding size (512), batches, steps and learning rates;
the best epoch is chosen on held-out training classes. Nothing is chosen on test classes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from tables import spread

from bier import runs
from bier.allocator import keep_freed_memory
from bier.config import Config
from bier.files import write_json

BUDGET = Config().replace(
    optimizer__epochs=2,
    image__size=128,
    data__workers=1,
    hardware__threads=1,
    checkpoint_seconds=600.0,
)
DATASETS = ("cub100", "cars196")
NO_DIVERSITY = {"diversity__loss": "none"}
UNBOOSTED: dict[str, Any] = {"loss__schedule": "independent", **NO_DIVERSITY}
ONE = {**UNBOOSTED, "model__learners": 1}
STAGEWISE: dict[str, Any] = {"loss__schedule": "stagewise", **NO_DIVERSITY}
ADVERSARIAL = {**STAGEWISE, "diversity__loss": "adversarial"}
ACTIVATION = {**STAGEWISE, "diversity__loss": "activation"}
WHITENED = {**ONE, "optimizer__learning_rate": 0.0, "optimizer__epochs": 1, "optimizer__freeze": 9}
AVERAGE = {"model__pooling": "average"}
LONG = {"optimizer__epochs": 6}

Contender = tuple[str, dict[str, Any]]
"""A title and the settings that differ from the budget's."""
GROUPS: dict[str, dict[str, Contender]] = {
    "average pooling, two epochs": {
        name: (title, {**AVERAGE, **settings})
        for name, (title, settings) in {
            "whitened": ("learned whitening, 512-d, no training", WHITENED),
            "random": (
                "one 512-d embedding from a random start",
                # The rates that were best from there: the others' cost it three points of MAP@R on validation classes.
                {
                    **ONE,
                    "model__start": "random",
                    "optimizer__learning_rate": 3e-5,
                    "optimizer__head_factor": 30.0,
                },
            ),
            "single": ("one 512-d embedding", ONE),
            "unboosted": ("three learners, no boosting", UNBOOSTED),
            "stagewise": ("BIER, stagewise", STAGEWISE),
            "additive": ("BIER, additive", {"loss__schedule": "additive", **NO_DIVERSITY}),
            "convex": ("BIER, convex", {"loss__schedule": "convex", **NO_DIVERSITY}),
            "adversarial": ("BIER, stagewise, adversarial loss", ADVERSARIAL),
            "activation": ("BIER, stagewise, activation loss", ACTIVATION),
            "initialized": (
                "BIER, stagewise, activation loss as initialisation",
                {**ACTIVATION, "diversity__initialize": True, "diversity__during_training": False},
            ),
        }.items()
    },
    "generalised mean, two epochs": {
        "gem-whitened": ("learned whitening, 512-d, no training", WHITENED),
        "gem-single": ("one 512-d embedding", ONE),
        "gem-activation": ("BIER, stagewise, activation loss", ACTIVATION),
    },
    "generalised mean, six epochs": {
        "long-single": ("one 512-d embedding", {**ONE, **LONG}),
        "long-unboosted": ("three learners, no boosting", {**UNBOOSTED, **LONG}),
        "long-activation": ("BIER, stagewise, activation loss", {**ACTIVATION, **LONG}),
        "long-adversarial": ("BIER, stagewise, adversarial loss", {**ADVERSARIAL, **LONG}),
    },
}
CONTENDERS = {name: contender for group in GROUPS.values() for name, contender in group.items()}


def train_all(data: Path, out: Path, seeds: list[int], part: int, parts: int, only: Sequence[str]) -> None:
    """Train every contender whose turn it is and which is not finished yet."""
    console = Console()
    keep_freed_memory()
    names = only or ("pretrained", *CONTENDERS)
    everything = [(seed, dataset, name) for seed in seeds for name in names for dataset in DATASETS]
    for seed, dataset, name in everything[part::parts]:
        source, folder = str(data / dataset), out / dataset / f"{name}-{seed}"
        console.rule(f"{dataset} {name} seed {seed}")
        began = time.monotonic()
        if name == "pretrained":
            if not (out / dataset / "pretrained.json").exists():
                write_json(out / dataset / "pretrained.json", runs.pretrained_features(source, BUDGET, console))
        elif not (folder / "metrics.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            runs.train(source, BUDGET.replace(seed=seed, **CONTENDERS[name][1]), folder, console)
        console.print(f"{time.monotonic() - began:.0f} s")


def results(out: Path, dataset: str, name: str) -> list[dict[str, Any]]:
    """The metrics of every finished seed."""
    files = sorted((out / dataset).glob(f"{name}-*/metrics.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def row(metrics: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in metrics["rows"] if r["kind"] == kind)
    return found


def print_tables(out: Path) -> None:
    for dataset in DATASETS:
        for group, contenders in GROUPS.items():
            found = {title: results(out, dataset, name) for name, (title, _) in contenders.items()}
            found = {title: seeds for title, seeds in found.items() if seeds}
            if found:
                print(f"\n### {dataset}, {group}\n")
                _print_embeddings(found, json.loads((out / dataset / "pretrained.json").read_text(encoding="utf-8")))
                _print_learners({title: seeds for title, seeds in found.items() if seeds[0]["rows"][0]["learners"][1:]})


def _print_embeddings(found: dict[str, list[dict[str, Any]]], pretrained: dict[str, Any]) -> None:
    print("| embedding | Recall@1 | Recall@8 | MAP@R | Recall@1 of the features beneath | between learners | seeds |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| pretrained features, 1280-d, averaged | {100 * pretrained['recall']['1']:.1f} "
        f"| {100 * pretrained['recall']['8']:.1f} | {100 * pretrained['map_at_r']:.1f} | | | |"
    )
    for title, seeds in found.items():
        whole = [row(metrics, "ensemble") for metrics in seeds]
        features = [row(metrics, "features") for metrics in seeds]
        between = [metrics["correlation"].get("between_learners_mean_abs") for metrics in seeds]
        shown = f"{statistics.mean(between):.3f}" if None not in between else ""
        print(
            f"| {title} | {spread([r['recall']['1'] for r in whole])} | {spread([r['recall']['8'] for r in whole])} "
            f"| {spread([r['map_at_r'] for r in whole])} | {spread([r['recall']['1'] for r in features])} "
            f"| {shown} | {len(seeds)} |"
        )


def _print_learners(found: dict[str, list[dict[str, Any]]]) -> None:
    if not found:
        return
    print("\nRecall@1 of each learner and each prefix, mean over seeds:\n")
    print("| embedding | learner 1 (85-d) | learner 2 (171-d) | learner 3 (256-d) | learners 1-2 (256-d) | all |")
    print("|---|---|---|---|---|---|")
    for title, seeds in found.items():
        by_learners = [
            {(r["kind"], len(r["learners"]), r["learners"][-1]): r["recall"]["1"] for r in m["rows"] if r["learners"]}
            for m in seeds
        ]
        # Kind, number of learners, last learner.
        keys = [("learner", 1, 0), ("learner", 1, 1), ("learner", 1, 2), ("prefix", 2, 1), ("ensemble", 3, 2)]
        cells = [spread([values[key] for values in by_learners]) for key in keys]
        print(f"| {title} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/results"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", default="0/1", help="which share of the work, for example 0/2")
    names = ("pretrained", *CONTENDERS)
    parser.add_argument("--only", nargs="+", default=[], choices=names, metavar="NAME", help=", ".join(names))
    arguments = parser.parse_args()
    if arguments.action == "run":
        part, parts = map(int, arguments.part.split("/"))
        train_all(arguments.data, arguments.out, arguments.seeds, part, parts, arguments.only)
    else:
        print_tables(arguments.out)


if __name__ == "__main__":
    main()
