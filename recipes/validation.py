"""Which validation orders models as the test classes do: held-out classes alone, or among training pictures.

    python recipes/validation.py [--data ../shared/data] [--heads runs/heads] [--only cars196]
    python recipes/validation.py --runs runs/birds runs/cars

Heads on frozen features (`recipes/heads.py`, whose features are used) with several losses, numbers of learners and
rates are trained on four fifths of the training classes. Each is scored on the fifth that was held out and on the test
classes, and the two orders are compared: Spearman's rank correlation, and what the head that validation likes best
lacks on test classes. Three draws of held-out classes. Nothing is chosen by the test classes here but the question.

With ``--runs``, runs that were validated after each epoch say what that took, from the times in their logs, and which
epoch would have been kept had a third of them been validated (`data.validations`). MAP@R is that of the validation.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import heads
import numpy as np
import torch
from scipy.stats import spearmanr
from tables import DATASETS, NAMES
from torch import Tensor

from bier.data import Manifest, hold_out, open_source, with_distractors
from bier.evaluate import evaluate_retrieval
from bier.records.history import read_history
from bier.runs.machine import FEWEST_VALIDATIONS
from bier.system.allocator import keep_freed_memory

CANDIDATES = ("single", "triplet-single", "ms-single", "anchor-single", "stagewise", "activation", "eight", "small-85")
RATES = (3e-4, 3e-3)
DRAWS = range(3)
DISTRACTORS = (0, 1, 2, 4)
"""Training pictures for each held-out one; four are all of them."""
METRICS = ("MAP@R", "Recall@1")
Scores = tuple[float, float]
"""By the metrics."""


@dataclass
class Judged:
    """The candidates' scores in one draw, in one order."""

    test: list[Scores] = field(default_factory=list)
    validation: dict[int, list[Scores]] = field(default_factory=lambda: {times: [] for times in DISTRACTORS})

    def agreement(self, times: int, metric: int) -> tuple[float, float, float]:
        """Rank correlation with the test's Recall@1 and its MAP@R, and points of Recall@1 that the best here lacks."""
        here = [scores[metric] for scores in self.validation[times]]
        map_at_r, recall = zip(*self.test, strict=True)
        lacking = max(recall) - recall[int(np.argmax(here))]
        return float(spearmanr(here, recall).statistic), float(spearmanr(here, map_at_r).statistic), 100 * lacking


def scores(vectors: Tensor, labels: Tensor, asking: np.ndarray, searched: np.ndarray) -> Scores:
    """Of the rows that ask, each searching all others of those searched."""
    result = evaluate_retrieval(
        vectors[asking],
        labels[asking],
        gallery=vectors[searched],
        gallery_labels=labels[searched],
        ids=asking,
        gallery_ids=searched,
        recall_at=(1,),
        similarity="dot",
    )
    assert result.map_at_r is not None
    return result.map_at_r, result.recall[1]


@torch.no_grad()
def embedded(head: torch.nn.Module, features: Tensor) -> Tensor:
    vectors: Tensor = head(features)
    return vectors


def judge(data: heads.Features, manifest: Manifest, draw: int) -> Judged:
    """Train every candidate and score it both ways."""
    held = hold_out(manifest, 0.2, draw)
    asking = np.flatnonzero(held.split == "val")
    searched = {
        times: np.flatnonzero(np.isin(held.image, with_distractors(held, (1 + times) * len(asking), draw).image))
        for times in DISTRACTORS
    }
    training = torch.from_numpy(held.split == "train")
    test = np.arange(len(data.test))
    judged = Judged()
    for name in CANDIDATES:
        for rate in RATES:
            head = heads.train(heads.CONTENDERS[name], data.train[:, training], data.labels[training], rate, seed=draw)
            judged.test.append(scores(embedded(head, data.test), data.test_labels, test, test))
            known = embedded(head, data.train[0])
            for times, rows in searched.items():
                judged.validation[times].append(scores(known, data.labels, asking, rows))
    return judged


def lines(draws: list[Judged]) -> Iterator[str]:
    for metric, name in enumerate(METRICS):
        for times in DISTRACTORS:
            found = [judged.agreement(times, metric) for judged in draws]
            recall, map_at_r, lacking = (
                ", ".join(f"{value:.2f}" for value in column) for column in zip(*found, strict=True)
            )
            among = f"{times} for each of theirs" if times else "none"
            yield f"| {name} | {among} | {recall} | {map_at_r} | {lacking} |"


def of_run(folder: Path) -> str:
    """What validation took in a run that was validated after each epoch, and what is lost with fewer."""
    history = read_history(folder)
    stamps = re.findall(r"^(\S+ \S+) epoch \d+/", (folder / "log.txt").read_text(encoding="utf-8"), re.M)
    ends = [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]
    spent = [after - before for before, after in itertools.pairwise(ends)]
    shares = [whole / epoch.seconds - 1 for whole, epoch in zip(spent, history[1:], strict=True)]
    fewer = min(len(history), max(FEWEST_VALIDATIONS, len(history) // 3))
    some = [history[round(len(history) * number / fewer) - 1] for number in range(1, fewer + 1)]
    share, part = statistics.median(shares), fewer / len(history)
    best, of_some = (max(100 * epoch.validation_map_at_r for epoch in epochs) for epochs in (history, some))
    return (
        f"| {folder.name} | {len(history)} | {fewer} | {100 * share:.0f} % | {100 * share * part:.0f} % "
        f"| {best:.1f} | {of_some:.1f} | {100 * history[-1].validation_map_at_r:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--heads", type=Path, default=Path("runs/heads"), help="where recipes/heads.py keeps features")
    parser.add_argument("--only", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--runs", type=Path, nargs="+", help="folders of runs that were validated after each epoch")
    given = parser.parse_args()
    if given.runs:
        print("| run | epochs | a third of them | time, all | time, a third | best MAP@R, all | a third | last epoch |")
        print("|---|---|---|---|---|---|---|---|")
        print("\n".join(map(of_run, given.runs)))
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    for dataset in given.only:
        data = heads.features(given.data, dataset, given.heads)
        manifest = open_source(str(given.data / dataset)).only("train")
        draws = [judge(data, manifest, draw) for draw in DRAWS]
        print(f"\n### {NAMES[dataset]}\n")
        print(
            "| judged by | among training pictures | rank correlation with Recall@1 | with MAP@R | Recall@1 lacking |"
        )
        print("|---|---|---|---|---|")
        print("\n".join(lines(draws)), flush=True)


if __name__ == "__main__":
    main()
