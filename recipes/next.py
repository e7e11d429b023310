"""Does it pay to ask `bier data next` which pictures to label? Recall@1 by number of labels, beside random choice.

    python recipes/next.py [--data ../shared/data] [--out runs/next] [--judged-on test] [--seeds 0 1 2]
    python recipes/next.py --cost 10000 100000

The features of a pretrained backbone are computed once. Half of the training classes are known: the first labels are
drawn from their pictures. The pool is all other training pictures, so it holds known classes and new ones. In each
round a head is trained on the labels so far, it chooses from the pool, and an oracle tells the labels. Classes that are
never in the pool judge the head. With ``--judged-on val`` these are four in ten of the training classes, and features
are reduced to 256 principal components.

The pool is even, as the sets are, or uneven: the k-th class keeps 1 / (1 + k / 4) of its pictures, as in a catalogue
where few classes are frequent.

``--cost`` chooses 200 of so many drawn vectors of 512 dimensions, beside 5,000 with labels, and no pictures.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from heads import CONTENDERS, train
from numpy.typing import NDArray
from pretrained import features
from tables import DATASETS, NAMES, spread
from torch import Tensor

from bier.data import open_source
from bier.evaluate import evaluate_retrieval
from bier.method.ensemble import EmbeddingEnsemble
from bier.system.allocator import keep_freed_memory
from bier.vectors.choosing import Labelled, choose
from bier.vectors.near import VectorFile

HEAD = replace(CONTENDERS["ms-stagewise"], steps=200)
RATE = 3e-4
BUDGETS = {"test": (200, 400, 800, 1600), "val": (100, 200, 400, 800)}
UNEVEN_BUDGETS = {"test": (100, 200, 400, 800), "val": (50, 100, 200, 400)}
DIMENSIONS = 256
"""Of features on validation classes: trying many methods then takes a third of the time."""
FEWEST = 3
"""Pictures that a class of an uneven pool keeps."""

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Round:
    """What a method may know: unit vectors of the pool, and those with labels."""

    pool: Vectors
    labelled: Labelled
    random: np.random.Generator


Method = Callable[[Round, int], Rows]
Judge = Callable[[EmbeddingEnsemble], float]


def at_random(given: Round, count: int) -> Rows:
    return given.random.permutation(len(given.pool))[:count]


def proposed(given: Round, count: int, doubt: float = 0.0) -> Rows:
    """As `bier data next` does."""
    with VectorFile() as vectors:
        vectors.append(given.pool)
        return choose(vectors, given.labelled, count, doubt).rows


def doubtful(given: Round, count: int) -> Rows:
    """Likewise, but a picture between two classes counts eleven times as much as one without doubt."""
    return proposed(given, count, doubt=10 / 11)


def least_sure(given: Round, count: int) -> Rows:
    """The smallest lead of the best class over the second."""
    _, cosines = given.labelled.ranked(given.pool)
    return np.argsort(cosines[:, 0] - cosines[:, 1], kind="stable")[:count]


def farthest(given: Round, count: int) -> Rows:
    """Greedy k-centre (Sener and Savarese, ICLR 2018): each is the farthest from those labelled or chosen."""
    away, chosen = 1 - given.labelled.covers(given.pool), []
    for _ in range(count):
        chosen.append(int(away.argmax()))
        away = np.minimum(away, 1 - given.pool @ given.pool[chosen[-1]])
        away[chosen] = -1
    return np.array(chosen)


METHODS: dict[str, Method] = {
    "at random": at_random,
    "bier data next": proposed,
    "with doubt": doubtful,
    "least sure": least_sure,
    "k-centre": farthest,
}


def simulated(
    given: Tensor, codes: Rows, method: Method, budgets: tuple[int, ...], uneven: bool, seed: int, judge: Judge
) -> list[float]:
    """Recall@1 after each budget of labels, of training pictures (n, F) and their classes."""
    random = np.random.default_rng(seed)
    pool = thinned(codes, random) if uneven else np.arange(len(codes))
    classes = random.permutation(np.unique(codes))
    known = np.isin(codes[pool], classes[: round(len(classes) / 2)])
    labelled = random.permutation(pool[known])[: budgets[0]]

    def fitted() -> EmbeddingEnsemble:
        return train(HEAD, given[None, labelled], torch.from_numpy(codes[labelled]), RATE, seed)

    head = fitted()
    found = [judge(head)]
    for budget in budgets[1:]:
        left = np.setdiff1d(pool, labelled)
        named = np.unique(codes[labelled], return_inverse=True)[1]
        asked = Round(embedded(head, given[left]), Labelled.of(embedded(head, given[labelled]), named), random)
        labelled = np.concatenate([labelled, left[method(asked, budget - len(labelled))]])
        head = fitted()
        found.append(judge(head))
    return found


def judge_on(given: Tensor, codes: Rows) -> Judge:
    """Recall@1 of a head on pictures of classes that no pool holds."""

    def judge(head: EmbeddingEnsemble) -> float:
        return float(evaluate_retrieval(embedded(head, given), codes, metrics=["recall"]).recall[1])

    return judge


def thinned(codes: Rows, random: np.random.Generator) -> Rows:
    """Rows of an uneven pool."""
    kept = []
    for place, code in enumerate(random.permutation(np.unique(codes))):
        rows = random.permutation(np.flatnonzero(codes == code))
        kept.append(rows[: max(FEWEST, round(len(rows) / (1 + place / 4)))])
    return np.sort(np.concatenate(kept))


@torch.no_grad()
def embedded(head: EmbeddingEnsemble, given: Tensor) -> Vectors:
    return unit(head(given).numpy())


def unit(vectors: Vectors) -> Vectors:
    found: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def principal(given: Tensor, dimensions: int = DIMENSIONS) -> Tensor:
    """The first principal components of features."""
    centred = given.double() - given.double().mean(0)
    directions: Tensor = torch.linalg.eigh(centred.T @ centred).eigenvectors
    return (centred @ directions.flip(1)[:, :dimensions]).float()


def validation(given: Tensor, codes: Rows, seed: int) -> tuple[Tensor, Rows, Tensor, Rows]:
    """Training pictures of six in ten classes, and those of the others to judge with."""
    classes = np.random.default_rng(1000 + seed).permutation(np.unique(codes))
    held = np.isin(codes, classes[: round(0.4 * len(classes))])
    return given[~held], codes[~held], given[held], codes[held]


def print_cost(counts: list[int]) -> None:
    """Seconds and the peak of memory of the choice."""
    random = np.random.default_rng(0)
    labelled = Labelled.of(unit(random.standard_normal((5000, 512), dtype=np.float32)), np.arange(5000) % 100)
    print("| pictures | seconds | peak memory, MB |\n|---|---|---|")
    for count in counts:
        began = time.perf_counter()
        with VectorFile() as vectors:
            for _ in range(count // 1000):
                vectors.append(random.standard_normal((1000, 512), dtype=np.float32))
            choose(vectors, labelled, 200)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {count:,} | {time.perf_counter() - began:.0f} | {peak:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/next"))
    parser.add_argument("--judged-on", choices=["test", "val"], default="test")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=["at random", "bier data next"])
    parser.add_argument("--sets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cost", type=int, nargs="+", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if arguments.cost:
        print_cost(arguments.cost)
        return
    for dataset in arguments.sets:
        for uneven in (False, True):
            budgets = (UNEVEN_BUDGETS if uneven else BUDGETS)[arguments.judged_on]
            print(f"\n| {NAMES[dataset]}, {'uneven' if uneven else 'even'} pool | {' | '.join(map(str, budgets))} |")
            print(f"|---|{'---|' * len(budgets)}", flush=True)
            for name in arguments.only:
                seeds = [_one(arguments, dataset, name, budgets, uneven, seed) for seed in arguments.seeds]
                print(f"| {name} | {' | '.join(spread(values) for values in zip(*seeds, strict=True))} |", flush=True)


def _one(
    arguments: argparse.Namespace, dataset: str, name: str, budgets: tuple[int, ...], uneven: bool, seed: int
) -> list[float]:
    stored, manifest = features(arguments.data, dataset, arguments.out), open_source(arguments.data / dataset)
    given, codes = stored["train"], manifest.only("train").codes()
    judged, judged_codes = stored["test"], manifest.only("test").codes()
    if arguments.judged_on == "val":
        given = principal(given)
        given, codes, judged, judged_codes = validation(given, codes, seed)
    return simulated(given, codes, METHODS[name], budgets, uneven, seed, judge_on(judged, judged_codes))


if __name__ == "__main__":
    main()
