"""The comparison in docs/results.md: every contender, the same budget, three seeds, two datasets.

    python recipes/results.py run  [--data ../shared/data] [--out runs/results] [--seeds 0 1 2] [--part 0/2] \\
                                  [--only single stagewise ...]
    python recipes/results.py table [--out runs/results] > docs/results-tables.md

``run`` trains what is not there yet, so it can be stopped and started again; two of them with ``--part 0/2`` and
``--part 1/2`` share the work. Each uses one thread, which on two cores is faster than one run with two.

The contenders of a table share the backbone and its weights, input size, embedding size, batches and steps. Those with
``rates`` choose one of them by MAP@R on held-out training classes, after two epochs or all (``--seeds`` with no seed
stops there). The best epoch is chosen there as well; nothing is chosen on test classes.

The group at 224 px wants a GPU: without one it runs only where ``--only`` names its members. There, several processes
at once (``--part``) keep it busy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from tables import DATASETS, NAMES, spread

from bier import runs
from bier.records.history import read_history, validation_score
from bier.records.provenance import Provenance, is_finished
from bier.settings.schema import Config
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console
from bier.system.files import write_json

BUDGET = Config().replace(
    loss__name="binomial_deviance",
    optimizer__epochs=2,
    image__size=128,
    image__fit="crop",  # the tables were made so, before stretch was tried
    image__crop_scale=0.3,  # likewise
    model__refit=False,  # likewise
    data__classes_per_batch=16,  # likewise, before batches of 8 were tried
    optimizer__learning_rate=1e-4,  # likewise, before features chose it
    optimizer__head_factor=3.0,  # likewise
    data__workers=1,
    data__validation_gallery=0,  # likewise, before recipes/validation.py had shown what is better
    hardware__threads=1,
    checkpoint_seconds=600.0,
)
NO_DIVERSITY = {"diversity__loss": "none"}
UNBOOSTED: dict[str, Any] = {"loss__schedule": "independent", **NO_DIVERSITY}
ONE = {**UNBOOSTED, "model__learners": 1}
STAGEWISE: dict[str, Any] = {"loss__schedule": "stagewise", **NO_DIVERSITY}
ADDITIVE: dict[str, Any] = {"loss__schedule": "additive", **NO_DIVERSITY}
ADVERSARIAL = {**STAGEWISE, "diversity__loss": "adversarial"}
ACTIVATION = {**STAGEWISE, "diversity__loss": "activation"}
WHITENED = {**ONE, "optimizer__learning_rate": 0.0, "optimizer__epochs": 1, "optimizer__freeze": 9}
AVERAGE = {"model__pooling": "average"}
LONG = {"optimizer__epochs": 6}
# The rates that were best from a random head: the others' cost it three points of MAP@R on validation classes.
RANDOM = {
    **ONE,
    **AVERAGE,
    "model__start": "random",
    "optimizer__learning_rate": 3e-5,
    "optimizer__head_factor": 30.0,
}
PUBLISHED: dict[str, Any] = {**ADDITIVE, "model__learners": 3, "diversity__loss": "adversarial"}
RATES = (3e-5, 1e-4, 3e-4)
GPU_RATES = (3e-5, 1e-4)
START_RATES = (1e-5, 3e-5, 1e-4)
TRIPLET = {"loss__name": "triplet", "loss__options": {"mining": "semihard"}}
MULTI_SIMILARITY = {"loss__name": "multi_similarity"}
PROXY_ANCHOR = {"loss__name": "proxy_anchor"}
SCRATCH: dict[str, Any] = {
    "model__backbone": "resnet10t",
    "model__weights": "none",
    "model__start": "random",
    **AVERAGE,
    "image__size": 64,
    "optimizer__epochs": 8,
    "optimizer__learning_rate": 1e-3,
    "optimizer__head_factor": 1.0,
    "optimizer__freeze_batch_norm": False,
}


@dataclass(frozen=True)
class Contender:
    title: str
    settings: dict[str, Any]
    """That differ from the budget's."""
    rates: tuple[float, ...] = ()
    """Learning rates to choose from on validation classes; none given, the settings' own."""
    trials_in_full: bool = False
    """Whether each of them is tried with all epochs, which is then the first seed's run as well, or with two."""


GPU: dict[str, Any] = {"image__size": 224, "optimizer__epochs": 20, "data__workers": 3}
ON_GPU = "224 px, twenty epochs, on a GPU"
FROM_NOTHING = "a small ResNet from random weights, 64 px, eight epochs"
GROUPS: dict[str, dict[str, Contender]] = {
    "average pooling, two epochs": {
        name: Contender(title, {**AVERAGE, **settings})
        for name, title, settings in (
            ("whitened", "learned whitening, 512-d, no training", WHITENED),
            ("random", "one 512-d embedding from a random start", RANDOM),
            ("single", "one 512-d embedding", ONE),
            ("unboosted", "three learners, no boosting", UNBOOSTED),
            ("stagewise", "BIER, stagewise", STAGEWISE),
            ("additive", "BIER, additive", ADDITIVE),
            ("convex", "BIER, convex", {"loss__schedule": "convex", **NO_DIVERSITY}),
            ("adversarial", "BIER, stagewise, adversarial loss", ADVERSARIAL),
            ("activation", "BIER, stagewise, activation loss", ACTIVATION),
            (
                "initialized",
                "BIER, stagewise, activation loss as initialisation",
                {**ACTIVATION, "diversity__initialize": True, "diversity__during_training": False},
            ),
        )
    },
    "generalised mean, two epochs": {
        "gem-whitened": Contender("learned whitening, 512-d, no training", WHITENED),
        "gem-single": Contender("one 512-d embedding", ONE),
        "gem-activation": Contender("BIER, stagewise, activation loss", ACTIVATION),
        "gem-ms": Contender("multi-similarity, BIER, stagewise, activation loss", {**ACTIVATION, **MULTI_SIMILARITY}),
    },
    "generalised mean, two epochs, learners and dimensions": {
        "two": Contender("BIER, 2 learners", {**ACTIVATION, "model__learners": 2}),
        "four": Contender("BIER, 4 learners", {**ACTIVATION, "model__learners": 4}),
        "eight": Contender("BIER, 8 learners", {**ACTIVATION, "model__learners": 8}),
        "wide-single": Contender("one 1024-d embedding", {**ONE, "model__dimensions": 1024}),
        "wide": Contender("BIER, 3 learners, 1024-d", {**ACTIVATION, "model__dimensions": 1024}),
    },
    "generalised mean, six epochs": {
        "long-single": Contender("one 512-d embedding", {**ONE, **LONG}, RATES),
        "long-unboosted": Contender("three learners, no boosting", {**UNBOOSTED, **LONG}),
        "long-activation": Contender("BIER, stagewise, activation loss", {**ACTIVATION, **LONG}),
        "long-adversarial": Contender("BIER, stagewise, adversarial loss", {**ADVERSARIAL, **LONG}),
    },
    "as published: average pooling, from a random start, six epochs": {
        "start-single": Contender("one 512-d embedding", {**RANDOM, **LONG}, START_RATES, trials_in_full=True),
        "start-bier": Contender(
            "BIER, additive, adversarial loss", {**RANDOM, **PUBLISHED, **LONG}, START_RATES, trials_in_full=True
        ),
    },
    "six epochs, against others": {
        "long-triplet": Contender("semi-hard triplets, one embedding", {**ONE, **LONG, **TRIPLET}, RATES),
        "long-ms": Contender("multi-similarity, one embedding", {**ONE, **LONG, **MULTI_SIMILARITY}, RATES),
        "long-proxy": Contender("Proxy-Anchor, one embedding", {**ONE, **LONG, **PROXY_ANCHOR}, RATES),
        "long-ms-bier": Contender(
            "multi-similarity, BIER, stagewise, activation loss", {**ACTIVATION, **LONG, **MULTI_SIMILARITY}
        ),
        "long-ms-two": Contender(
            "multi-similarity, BIER, 2 learners", {**ACTIVATION, **LONG, **MULTI_SIMILARITY, "model__learners": 2}
        ),
    },
    FROM_NOTHING: {
        "scratch-single": Contender("one 512-d embedding", {**ONE, **SCRATCH}),
        "scratch-unboosted": Contender("three learners, no boosting", {**UNBOOSTED, **SCRATCH}),
        "scratch-stagewise": Contender("BIER, stagewise", {**STAGEWISE, **SCRATCH}),
        "scratch-additive": Contender("BIER, additive", {**ADDITIVE, **SCRATCH}),
        "scratch-activation": Contender("BIER, stagewise, activation loss", {**ACTIVATION, **SCRATCH}),
        "scratch-adversarial": Contender("BIER, stagewise, adversarial loss", {**ADVERSARIAL, **SCRATCH}),
    },
    ON_GPU: {
        "large-whitened": Contender("learned whitening, 512-d, no training", {**GPU, **WHITENED}),
        "large-random": Contender(
            "one 512-d embedding, average pooling, from a random start",
            {**RANDOM, **GPU},
            START_RATES,
            trials_in_full=True,
        ),
        "large-random-bier": Contender(
            "BIER as published (additive, adversarial loss), average pooling, from a random start",
            {**RANDOM, **PUBLISHED, **GPU},
            START_RATES,
            trials_in_full=True,
        ),
        **{
            f"large-{name}": Contender(title, {**settings, **GPU}, GPU_RATES, trials_in_full=True)
            for name, title, settings in (
                ("single", "one 512-d embedding", ONE),
                ("unboosted", "three learners, no boosting", UNBOOSTED),
                ("activation", "BIER, stagewise, activation loss", ACTIVATION),
                ("adversarial", "BIER, stagewise, adversarial loss", ADVERSARIAL),
                ("ms", "multi-similarity, one embedding", {**ONE, **MULTI_SIMILARITY}),
                ("ms-bier", "multi-similarity, BIER, stagewise, activation loss", {**ACTIVATION, **MULTI_SIMILARITY}),
                ("proxy", "Proxy-Anchor, one embedding", {**ONE, **PROXY_ANCHOR}),
                ("triplet", "semi-hard triplets, one embedding", {**ONE, **TRIPLET}),
            )
        },
    },
}
PRETRAINED = {"pretrained": 128, "pretrained-large": 224}
"""The backbone as it came, at so many pixels."""
CONTENDERS = {name: contender for group in GROUPS.values() for name, contender in group.items()}


def train_all(data: Path, out: Path, seeds: list[int], part: int, parts: int, only: Sequence[str]) -> None:
    """Train every contender whose turn it is and which is not finished yet."""
    console = plain_console()
    keep_freed_memory()
    for name, dataset in list(itertools.product(only or usual(), DATASETS))[part::parts]:
        source, folder = str(data / dataset), out / dataset
        if name in PRETRAINED:
            file = folder / f"{name}.json"
            if not file.exists():
                config = BUDGET.replace(image__size=PRETRAINED[name])
                write_json(file, runs.pretrained_features(source, config, console).as_dict())
            continue
        contender = CONTENDERS[name]
        config = BUDGET.replace(**contender.settings)
        if contender.rates:
            folders = {rate: folder / f"{name}@{rate:g}" for rate in contender.rates}
            trials = {
                rate: trial(source, config, rate, to, console, contender.trials_in_full) for rate, to in folders.items()
            }
            write_json(folder / f"{name}-rates.json", trials)
            best = max(trials, key=lambda rate: trials[rate])
            config = config.replace(optimizer__learning_rate=best)
            if contender.trials_in_full:
                shutil.copytree(folders[best], folder / f"{name}-{config.seed}", dirs_exist_ok=True)
        for seed in seeds:
            console.rule(f"{dataset} {name} seed {seed}")
            if not (folder / f"{name}-{seed}" / "metrics.json").exists():
                began = time.monotonic()
                shutil.rmtree(folder / f"{name}-{seed}", ignore_errors=True)
                runs.train(source, config.replace(seed=seed), folder / f"{name}-{seed}", console)
                console.print(f"{time.monotonic() - began:.0f} s")


def usual() -> list[str]:
    """What runs when nothing is named: everything that this machine is made for."""
    if torch.cuda.is_available():
        return [*PRETRAINED, *CONTENDERS]
    print(f"no GPU here, so the group '{ON_GPU}' is left out")
    return [*PRETRAINED, *(name for name in CONTENDERS if name not in GROUPS[ON_GPU])]


def trial(source: str, config: Config, rate: float, folder: Path, console: Console, in_full: bool = False) -> float:
    """MAP@R on validation classes at a rate, after two epochs or all; from the folder where it has been tried."""
    epochs = config.optimizer.epochs if in_full else BUDGET.optimizer.epochs
    config = config.replace(optimizer__learning_rate=rate, optimizer__epochs=epochs)
    if not is_finished(folder):
        console.rule(f"trial {folder.name}")
        shutil.rmtree(folder, ignore_errors=True)
        runs.train(source, config, folder, console, evaluate_after=in_full)
    return validation_score(folder)


def results(out: Path, dataset: str, name: str) -> list[dict[str, Any]]:
    """The metrics of every finished seed."""
    return [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in _runs(out / dataset, name)]


def validation(out: Path, dataset: str, name: str) -> list[list[float]]:
    """MAP@R on validation classes, epoch by epoch, of every finished seed."""
    return [[epoch.validation_map_at_r for epoch in read_history(run)] for run in _runs(out / dataset, name)]


def _runs(folder: Path, name: str) -> list[Path]:
    """The folders of a contender's finished seeds, in order."""
    return [file.parent for file in sorted(folder.glob(f"{name}-[0-9]*/metrics.json"))]


def row(metrics: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in metrics["rows"] if r["kind"] == kind)
    return found


def print_tables(out: Path) -> None:
    for dataset in DATASETS:
        for group, contenders in GROUPS.items():
            found = {one.title: results(out, dataset, name) for name, one in contenders.items()}
            found = {title: seeds for title, seeds in found.items() if seeds}
            if found:
                print(f"\n### {NAMES[dataset]}, {group}\n")
                before = "pretrained-large" if group == ON_GPU else "pretrained"
                _print_embeddings(found, None if group == FROM_NOTHING else out / dataset / f"{before}.json")
                _print_devices(out / dataset, contenders)
                _print_trials(out / dataset, contenders)
                _print_learners({title: seeds for title, seeds in found.items() if _is_usual_cut(seeds[0])})


def _is_usual_cut(metrics: dict[str, Any]) -> bool:
    whole = row(metrics, "ensemble")
    return (whole["dimensions"], len(whole["learners"])) == (512, 3)


def _print_embeddings(found: dict[str, list[dict[str, Any]]], pretrained: Path | None) -> None:
    """Correlations are mean absolute ones, of output dimensions on test images."""
    print("| embedding | R@1 | R@2, 4, 8 | MAP@R | R@1 of the features | correlation | between learners | seeds |")
    print("|---|---|---|---|---|---|---|---|")
    if pretrained is not None and pretrained.exists():
        before = json.loads(pretrained.read_text(encoding="utf-8"))
        print(
            f"| pretrained features, 1280-d, averaged | {100 * before['recall']['1']:.1f} | {_later([before])} "
            f"| {100 * before['map_at_r']:.1f} | | | | |"
        )
    for title, seeds in found.items():
        whole = [row(metrics, "ensemble") for metrics in seeds]
        features = [row(metrics, "features") for metrics in seeds]
        print(
            f"| {title} | {spread([r['recall']['1'] for r in whole])} | {_later(whole)} "
            f"| {spread([r['map_at_r'] for r in whole])} | {spread([r['recall']['1'] for r in features])} "
            f"| {_correlation(seeds, 'features')} | {_correlation(seeds, 'between_learners')} | {len(seeds)} |"
        )


def _later(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{100 * statistics.mean(r['recall'][k] for r in rows):.1f}" for k in ("2", "4", "8"))


def _correlation(seeds: list[dict[str, Any]], kind: str) -> str:
    values = [metrics["correlation"].get(f"{kind}_mean_abs") for metrics in seeds]
    return f"{statistics.mean(values):.3f}" if None not in values else ""


def _print_devices(folder: Path, contenders: dict[str, Contender]) -> None:
    devices = {Provenance.load(run).device for name in contenders for run in _runs(folder, name)} - {"cpu"}
    if devices:
        print(f"\nTrained on: {', '.join(sorted(devices))}.")


def _print_trials(folder: Path, contenders: dict[str, Contender]) -> None:
    tried = {one.title: folder / f"{name}-rates.json" for name, one in contenders.items()}
    tried = {title: file for title, file in tried.items() if file.exists()}
    if tried:
        rates = sorted({rate for one in contenders.values() for rate in one.rates})
        epochs = "all" if any(one.trials_in_full for one in contenders.values()) else "two"
        print(f"\nMAP@R on validation classes after {epochs} epochs, by learning rate; the best was taken:\n")
        print(f"| embedding | {' | '.join(f'{rate:g}' for rate in rates)} |\n|---|{'---|' * len(rates)}")
        for title, file in tried.items():
            scores = json.loads(file.read_text(encoding="utf-8"))
            cells = [f"{100 * scores[str(rate)]:.1f}" if str(rate) in scores else "" for rate in rates]
            print(f"| {title} | {' | '.join(cells)} |")


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
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--part", default="0/1", help="which share of the work, for example 0/2")
    names = (*PRETRAINED, *CONTENDERS)
    parser.add_argument("--only", nargs="+", default=[], choices=names, metavar="NAME", help=", ".join(names))
    arguments = parser.parse_args()
    if arguments.action == "run":
        part, parts = map(int, arguments.part.split("/"))
        train_all(arguments.data, arguments.out, arguments.seeds, part, parts, arguments.only)
    else:
        print_tables(arguments.out)


if __name__ == "__main__":
    main()
