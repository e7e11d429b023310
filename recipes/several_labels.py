"""Does it pay to say that pictures share a label? Birds have two: the species, and the kind, such as warbler.

    python recipes/several_labels.py [--data ../shared/data] [--out runs/marks] [--seeds 0 1 2] [--each 2]

A cell is ``American_Redstart|Redstart``. A head is trained once with each cell as a class of its own, and once as with
`data.label_separator`. The backbone stays as it came, so it takes minutes on a CPU. The test species are new to both;
their kinds may be known. Two questions are asked of the test pictures: which show the same species, and which share a
label. With ``--each`` only so many training pictures of each species are there, drawn at random.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from marks import CLASSES, IMAGES, World, catalogue, train
from tables import spread

from bier import EmbeddingEnsemble
from bier.data import BatchPlan, Manifest, open_source
from bier.data.several_labels import LabelSets
from bier.evaluate import evaluate_retrieval
from bier.evaluate.shared_labels import shared_label
from bier.system.allocator import keep_freed_memory
from bier.training.marked import OfClasses

SEPARATOR = "|"
DATASET = "cub100"


def cells_of(manifest: Manifest) -> list[str]:
    """Species and kind of each bird. The kind is the last word of its name."""
    names = [manifest.title(row) for row in range(len(manifest))]
    return [f"{name}{SEPARATOR}{name.rpartition('_')[2]}" for name in names]


def few(world: World, each: int | None, seed: int) -> World:
    """The same with so many training pictures of each species."""
    if each is None:
        return world
    kept = catalogue(world.train.label, seed, each)
    return replace(world, train=world.train.take(kept), features=world.features[torch.from_numpy(kept)])


def whole_cells(world: World, seed: int) -> EmbeddingEnsemble:
    """A head for which each cell is one class."""
    codes = world.train.codes()
    return train(world.features, codes, BatchPlan(codes, CLASSES, IMAGES, seed), OfClasses(codes), seed)


def shared_labels(world: World, seed: int) -> EmbeddingEnsemble:
    """A head for which pictures are alike that share a label."""
    sets = LabelSets.of(cells_of(world.train), SEPARATOR)
    rows, labels = sets.entries()
    plan = BatchPlan(labels, CLASSES, IMAGES, seed, rows=rows)
    return train(world.features, labels, plan, sets, seed, rows)


@torch.no_grad()
def figures(world: World, head: EmbeddingEnsemble, cells: list[str]) -> dict[str, float]:
    """Recall@1 and MAP@R of the test pictures, by species and by shared labels."""
    vectors = head(world.test_features)
    found: dict[str, float] = {}
    for name, relevance in (("the same species", None), ("a shared label", shared_label(cells, separator=SEPARATOR))):
        result = evaluate_retrieval(vectors, world.test_labels, recall_at=(1,), relevance=relevance)
        assert result.map_at_r is not None
        found |= {f"{name}, Recall@1": result.recall[1], f"{name}, MAP@R": result.map_at_r}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/marks"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--each", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    everything = World.of(given.data, DATASET, given.out)
    tested = cells_of(open_source(str(given.data / DATASET)).only("test"))
    rows: dict[str, dict[str, list[float]]] = {}
    for seed in given.seeds:
        world = few(everything, given.each, seed)
        for name, head in (("whole cells", whole_cells(world, seed)), ("shared labels", shared_labels(world, seed))):
            for figure, value in figures(world, head, tested).items():
                rows.setdefault(figure, {}).setdefault(name, []).append(value)
    print("| right is | whole cells | shared labels |\n|---|---|---|")
    for figure, found in rows.items():
        print(f"| {figure} | {' | '.join(map(spread, found.values()))} |")


if __name__ == "__main__":
    main()
