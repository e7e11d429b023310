"""Do the pairs that boosting weighs most lead to wrong labels? Some are planted, and counted among the hardest pairs.

    python recipes/wrong_labels.py [--data ../shared/data/cub100] [--out runs/wrong-labels] [--share 0.03] [--seeds 0 1]

Trains for two epochs with the stem and four stages frozen and prints, for each seed, how many of the pairs that the
report shows (`history.jsonl`, the last epoch) hold a picture whose label was exchanged, beside what chance would give.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from bier import runs
from bier.data import Manifest, open_source
from bier.settings.schema import Config
from bier.system.allocator import keep_freed_memory

CONFIG = Config().replace(
    loss__name="binomial_deviance",
    optimizer__epochs=2,
    optimizer__freeze=5,
    image__size=128,
    image__crop_scale=0.3,  # the table was made so
    data__classes_per_batch=16,  # likewise
    optimizer__learning_rate=1e-4,  # likewise
    optimizer__head_factor=3.0,  # likewise
    data__workers=1,
    hardware__threads=1,
)


def plant(manifest: Manifest, share: float, seed: int, file: Path) -> set[str]:
    """Write the source as a table in which a share of the training images has another training class's label."""
    random = np.random.default_rng(seed)
    train = np.flatnonzero(manifest.split == "train")
    labels = manifest.label.copy()
    classes = np.unique(labels[train].astype(str))
    wrong = random.choice(train, round(share * len(train)), replace=False)
    for row in wrong:
        labels[row] = random.choice(classes[classes != labels[row]])
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["image", "label", "split"])
        for row in range(len(manifest)):
            writer.writerow([manifest.path(row).absolute(), labels[row], manifest.split[row]])
    return {str(manifest.path(int(row)).absolute()) for row in wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cub100")
    parser.add_argument("--out", type=Path, default=Path("runs/wrong-labels"))
    parser.add_argument("--share", type=float, default=0.03)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    keep_freed_memory()
    manifest = open_source(given.data)
    for seed in given.seeds:
        table, folder = given.out / f"{seed}.csv", given.out / str(seed)
        wrong = plant(manifest, given.share, seed, table)
        runs.train(str(table), CONFIG.replace(seed=seed), folder, Console(quiet=True), evaluate_after=False)
        last = json.loads((folder / "history.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        for kind, pairs in last["hardest"].items():
            found = sum(any(picture["image"] in wrong for picture in pair["pictures"]) for pair in pairs)
            chance = len(pairs) * (1 - (1 - given.share) ** 2)
            print(f"seed {seed}: {found} of {len(pairs)} {kind} pairs hold a wrong label; by chance {chance:.1f}")


if __name__ == "__main__":
    main()
