"""What marks are worth: an oracle user marks search results, and the head is trained again with these marks.

    python recipes/marks.py [--data ../shared/data] [--out runs/marks] [--seeds 0 1 2]
        [--datasets cub100] [--also pairs places]

The backbone stays as it came; the head on top is trained, so it takes minutes on a CPU. Of each training class two
pictures are the catalogue, with labels. The others are what people upload: nobody knows their classes. Each search is
an upload, in a random order. The user looks at the first hits, and marks the first right one and the first wrong one,
by the true labels. The marks go through the same code as `bier train --marks`. Recall@1 is measured on the test
classes, which neither training nor marks have seen.

The last row is what the labels of all uploads would give. ``--also`` adds variants. With ``pairs`` no upload gets a
class, so only marked pairs count. With ``places`` all marked pairs meet in batches, and not only those of which classes
say nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from pretrained import features
from tables import DATASETS, NAMES, spread
from torch import Tensor

from bier import EmbeddingEnsemble, OnlineBoosting, learner_sizes
from bier.data import BatchPlan, Manifest, open_source
from bier.data.marked import Marked, join_marks
from bier.data.marked_plan import MarkedPlan
from bier.data.marks import Mark
from bier.data.plan import Plan
from bier.evaluate import evaluate_retrieval
from bier.losses import MultiSimilarity
from bier.method.whitening import whiten
from bier.runs import optimization
from bier.settings.schema import OptimizerConfig
from bier.system.allocator import keep_freed_memory
from bier.training.job import Relations
from bier.training.marked import MarkedRelations, OfClasses

COUNTS = (100, 500, 2000)
CATALOGUE = 2
"""Pictures of a class that have labels."""
LOOKED_AT = 24
"""Hits that a user looks at."""
STEPS, CLASSES, IMAGES, RATE = 300, 16, 4, 3e-4
VARIANTS = {"pairs": "no upload gets a class", "places": "places in batches for all pairs"}
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """Features of training and test pictures, and what is known of them."""

    train: Manifest
    features: Tensor
    test_features: Tensor
    test_labels: NDArray[np.int64]

    @staticmethod
    def of(data: Path, dataset: str, out: Path) -> World:
        """From the cache, made when it is not there yet."""
        manifest = open_source(str(data / dataset))
        train, test = manifest.only("train"), manifest.only("test")
        found = features(data, dataset, out)
        return World(train, found["train"], found["test"], test.codes())


def catalogue(labels: NDArray[np.object_], seed: int, each: int = CATALOGUE) -> NDArray[np.bool_]:
    """Which pictures have labels: a few of each class, drawn at random."""
    random, known = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    for label in sorted(set(labels)):
        known[random.permutation(np.flatnonzero(labels == label))[:each]] = True
    return known


@torch.no_grad()
def marks(world: World, known: NDArray[np.bool_], head: EmbeddingEnsemble, wanted: int, seed: int) -> list[Mark]:
    """What the oracle says of searches from uploads in the catalogue: so many marks, or fewer where uploads run out."""
    labels, vectors = world.train.label, head(world.features)
    gallery = np.flatnonzero(known)
    found: list[Mark] = []
    for upload in np.random.default_rng(seed).permutation(np.flatnonzero(~known)).tolist():
        hits = gallery[(vectors[gallery] @ vectors[upload]).topk(LOOKED_AT).indices.numpy()]
        right = labels[hits] == labels[upload]
        for same in (True, False):
            for hit in hits[right == same][:1].tolist():
                result = str(world.train.image[hit])
                found.append(Mark(len(found) + 2, "", sha256_of(upload), None, result, same, ""))
        if len(found) >= wanted:
            break
    return found[:wanted]


def sha256_of(row: int) -> str:
    """What stands for the hash of an upload."""
    return f"{row:064x}"


def join(
    world: World, known: NDArray[np.bool_], given: list[Mark], folder: Path, *, pairs: bool
) -> tuple[Marked, Rows]:
    """The catalogue with the marks on it, and the rows of the features behind its pictures."""
    for mark in given:
        (folder / f"{mark.sha256}.jpg").touch()
    marked = join_marks(world.train.take(known), given, folder, one_label=not pairs)
    brought = [int(Path(str(image)).stem, 16) for image in marked.manifest.image[int(known.sum()) :]]
    return marked, np.concatenate([np.flatnonzero(known), np.array(brought, dtype=np.int64)])


def labels_alone(features: Tensor, labels: NDArray[np.int64], seed: int) -> EmbeddingEnsemble:
    """A head on features (n, d) of labels (n,)."""
    plan = BatchPlan(labels, CLASSES, IMAGES, seed)
    return train(features, labels, plan, OfClasses(labels), seed)


def with_marks(world: World, marked: Marked, rows: Rows, seed: int, *, places: bool) -> EmbeddingEnsemble:
    """A head on the catalogue and what came with marks; in batches with places for all marked pairs, or for few."""
    labels, classed = marked.manifest.codes(), np.flatnonzero(marked.classed)
    relations = MarkedRelations(OfClasses(labels), marked.classed, marked.pairs, marked.same)
    meeting = marked.pairs if places else marked.pairs[marked.untold()]
    plan: Plan = BatchPlan(labels[classed], CLASSES, IMAGES, seed, rows=classed)
    if len(meeting):
        plan = MarkedPlan(labels[classed], classed, meeting, CLASSES, IMAGES, seed)
    return train(world.features[rows], labels, plan, relations, seed)


def train(
    features: Tensor, labels: NDArray[np.int64], plan: Plan, relations: Relations, seed: int, rows: Rows | None = None
) -> EmbeddingEnsemble:
    """A head from learned whitening, with the loss and the schedule that `bier train` takes by default.

    Features are (n, d). Labels are (n,), or (e,) of the pictures at ``rows`` (e,) where these have several.
    """
    torch.manual_seed(seed)
    head = EmbeddingEnsemble(features.shape[1], learner_sizes(512, 3))
    whiten(head, features if rows is None else features[rows], torch.from_numpy(labels), seed=seed)
    boost = OnlineBoosting(MultiSimilarity(), "stagewise")
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=2e-4)
    rate = optimization.rate_schedule(OptimizerConfig(warmup=0.1), STEPS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    batches = (batch for epoch in count() for batch in plan.epoch(epoch))
    for batch in islice(batches, STEPS):
        loss = boost(head.learners(features[batch]), torch.from_numpy(relations.among(batch)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return head


@torch.no_grad()
def recall(world: World, head: EmbeddingEnsemble) -> float:
    """Recall@1 among the test classes."""
    return evaluate_retrieval(head(world.test_features), world.test_labels, recall_at=(1,)).recall[1]


def simulate(world: World, seed: int, variants: Sequence[str], folder: Path) -> Iterator[tuple[str, float]]:
    """Names of table rows, and figures for them."""
    known = catalogue(world.train.label, seed)
    codes = world.train.codes()
    first = labels_alone(world.features[known], codes[known], seed)
    yield "0 marks", recall(world, first)
    for wanted in COUNTS:
        given = marks(world, known, first, wanted, seed)
        for variant in ("", *variants):
            marked, rows = join(world, known, given, folder, pairs=variant == "pairs")
            if not variant:
                yield f"uploads with a class, of all, by {wanted:,}", marked.brought_classed / int((~known).sum())
            head = with_marks(world, marked, rows, seed, places=variant == "places")
            yield f"{wanted:,} marks{variant and ', ' + VARIANTS[variant]}", recall(world, head)
    yield "labels of all uploads", recall(world, labels_alone(world.features, codes, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/marks"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--also", nargs="+", choices=VARIANTS, default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    figures: dict[str, dict[str, list[float]]] = {}
    for dataset in given.datasets:
        world = World.of(given.data, dataset, given.out)
        for seed in given.seeds:
            with TemporaryDirectory() as folder:
                for name, value in simulate(world, seed, given.also, Path(folder)):
                    figures.setdefault(name, {}).setdefault(dataset, []).append(value)
                    print(dataset, seed, name, f"{100 * value:.1f}", file=sys.stderr, flush=True)
    print(f"| | {' | '.join(NAMES[dataset] for dataset in given.datasets)} |\n|---|{'---|' * len(given.datasets)}")
    for name, row in figures.items():
        print(f"| {name} | {' | '.join(spread(row[dataset]) for dataset in given.datasets)} |")


if __name__ == "__main__":
    main()
