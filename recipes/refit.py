"""What the refit of the head after training brings: the same runs with the trained head, and with the refitted one.

    python recipes/refit.py run   [--data ../shared/data] [--out runs/refit] [--seeds 0 1 2] [--only bier one] \\
                                  [--datasets cub100 cars196] [--backbone efficientnet_lite0] [--size 128]
    python recipes/refit.py table [--out runs/refit]

``run`` trains six epochs with ``model.refit=false`` where that is not done, copies the run, and refits its head as
`bier train` does. One embedding may be cut into three learners then, which `bier train` does not do. Each run uses one
thread. Each backbone and size needs a folder of its own. Validation classes choose; test classes are looked at once, in
the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from tables import DATASETS, NAMES, spread

from bier import runs
from bier.data import open_source
from bier.method.ensemble import learner_sizes
from bier.records.folder import RunFolder
from bier.records.provenance import Provenance, is_finished
from bier.runs import build
from bier.runs.finish import refit_head
from bier.runs.splits import held_out
from bier.runs.trainer import build_job
from bier.settings.reading import load
from bier.settings.schema import Config
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console

BUDGET = Config().replace(
    optimizer__epochs=6,
    model__refit=False,
    data__workers=1,
    hardware__threads=1,
    checkpoint_seconds=600.0,
)
CONTENDERS: dict[str, tuple[str, dict[str, object]]] = {
    "bier": ("BIER, three learners", {}),
    "one": ("one embedding", {"model__learners": 1, "diversity__loss": "none"}),
}
ROWS = {
    "whole": ("ensemble", 3, 2),
    "learners 1-2": ("prefix", 2, 1),
    "learner 1": ("learner", 1, 0),
    "learner 2": ("learner", 1, 1),
    "learner 3": ("learner", 1, 2),
}
"""Kind, number of learners and last learner of the rows of a table."""


def train_all(given: argparse.Namespace, console: Console) -> None:
    """What is not there yet of all that the command line names."""
    budget = BUDGET.replace(model__backbone=given.backbone, image__size=given.size)
    for name in given.only:
        for seed in given.seeds:
            for dataset in given.datasets:
                folder = given.out / f"{dataset}-{name}-{seed}"
                if not is_finished(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    config = budget.replace(seed=seed, **CONTENDERS[name][1])
                    runs.train(str(given.data / dataset), config, folder, console)
                if not RunFolder(refitted(folder)).metrics.exists():
                    refit(folder, console)


def refitted(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-refit")


def refit(folder: Path, console: Console) -> None:
    """Copy a run, refit the copy's head as at the end of a training, and measure it."""
    copy, files = refitted(folder), RunFolder(folder)
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in (files.model, files.config, files.provenance):
        shutil.copy(file, copy)
    config, provenance = load(files.config), Provenance.load(folder)
    manifest = held_out(open_source(provenance.data.path, config.data), config, console)
    job = build_job(manifest, config, copy, build.hardware(config))
    dataclasses.replace(provenance, refit=refit_head(job, manifest, console, learner_sizes(512, 3))).save(copy)
    runs.evaluate(copy, None, console, manifest=manifest)


def cells(folders: list[Path], wanted: tuple[str, int, int]) -> list[str]:
    """Recall@1 and MAP@R of a row over seeds; empty where there is none."""
    found = [row for folder in folders for row in _rows(folder) if _key(row) == wanted]
    if not found:
        return ["", ""]
    return [spread([row["recall"]["1"] for row in found]), spread([row["map_at_r"] for row in found])]


def _rows(folder: Path) -> list[dict[str, Any]]:
    """The whole, and parts of it."""
    rows: list[dict[str, Any]] = json.loads(RunFolder(folder).metrics.read_text(encoding="utf-8"))["rows"]
    [whole] = [row for row in rows if row["kind"] == "ensemble"]
    return [row for row in rows if row is whole or row["learners"] != whole["learners"]]


def _key(row: dict[str, Any]) -> tuple[str, int, int] | None:
    if row["kind"] == "ensemble":
        return ROWS["whole"]
    return (row["kind"], len(row["learners"]), row["learners"][-1]) if row["learners"] else None


def print_tables(out: Path) -> None:
    for dataset in DATASETS:
        print(f"\n### {NAMES[dataset]}\n")
        print("| embedding | | head as trained: R@1 | MAP@R | refitted: R@1 | MAP@R | seeds |")
        print("|---|---|---|---|---|---|---|")
        for name, (title, _) in CONTENDERS.items():
            copies = sorted(out.glob(f"{dataset}-{name}-[0-9]*-refit"))
            after = [folder for folder in copies if RunFolder(folder).metrics.exists()]  # others are being made
            before = [folder.with_name(folder.name.removesuffix("-refit")) for folder in after]
            for row, wanted in ROWS.items():
                line = [*cells(before, wanted), *cells(after, wanted)]
                if any(line):
                    print(f"| {title} | {row} | {' | '.join(line)} | {len(after)} |")
        for folder in sorted(out.glob(f"{dataset}-*-refit")):
            taken = Provenance.load(folder).refit
            if taken is not None:
                how = f"power {taken.power:g}, share {taken.share:g}{', turned' * taken.rotated}"
                print(f"\n{folder.name}: {how}; MAP@R on validation {100 * taken.before:.1f}, {100 * taken.after:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/refit"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=128)
    given = parser.parse_args()
    if given.action == "table":
        print_tables(given.out)
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    train_all(given, plain_console())


if __name__ == "__main__":
    main()
