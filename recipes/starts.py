"""What the head should start from: pictures made square, poolings, norms and strengths of whitening, before training.

    python recipes/starts.py [--data ../shared/data] [--draws 3]

Half of the training classes fit the whitening, the other half judges it, over a few draws; prints Recall@1 and MAP@R of
each. No test class is looked at. The backbone is the default one, at 128 px; about two minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch
from tables import DATASETS, NAMES, spread
from torch import Tensor
from torch.nn import functional as F

from bier import EmbeddingEnsemble
from bier.data import Manifest, hold_out, image_loader, open_source
from bier.data.images import Fit
from bier.evaluate import evaluate_retrieval
from bier.method.whitening import whiten
from bier.network.pooling import GeneralizedMean, averaging
from bier.runs import build
from bier.settings.schema import Config
from bier.system.allocator import keep_freed_memory

CONFIG = Config().replace(image__size=128, image__fit="crop", data__workers=1, model__pooling="average")
POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "average": lambda maps: maps.mean(dim=(2, 3)),
    "maximum": lambda maps: maps.amax(dim=(2, 3)),
    **{f"generalised mean, p = {p}": GeneralizedMean(p) for p in (2, 3, 4)},
}
USUAL = "generalised mean, p = 3"
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda features: features,
    "length 1": lambda features: F.normalize(features, dim=1),
    "layer norm": lambda features: F.layer_norm(features, features.shape[1:]),
    "square roots": lambda features: features.clamp_min(0).sqrt(),
    "square roots, length 1": lambda features: F.normalize(features.clamp_min(0).sqrt(), dim=1),
}
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
UNLABELLED = "power without labels"


@torch.inference_mode()
def pooled(manifest: Manifest, **changes: str) -> dict[str, Tensor]:
    """(n, d) features of all images by every pooling, from the backbone's last map."""
    config = CONFIG.replace(**changes)
    backbone = build.model(CONFIG).backbone.eval().to(memory_format=torch.channels_last)
    path = averaging(backbone)
    assert path is not None
    maps: list[Tensor] = []
    backbone.get_submodule(path).register_forward_pre_hook(lambda module, inputs: maps.append(inputs[0]))
    found: dict[str, list[Tensor]] = {name: [] for name in POOLINGS}
    for batch in image_loader(manifest, build.test_transform(config, config.image.size or 128), workers=1):
        backbone(batch.images.contiguous(memory_format=torch.channels_last))
        last = maps.pop()
        for name, pool in POOLINGS.items():
            found[name].append(pool(last).flatten(1))
    return {name: torch.cat(parts) for name, parts in found.items()}


def judged(features: Tensor, manifest: Manifest, draws: int, power: float | None, labelled: bool = True) -> str:
    """Recall@1 and MAP@R on held-out classes, as cells of a table; with a power of None, of the features themselves."""
    labels, recall, map_at_r = torch.from_numpy(manifest.codes()), [], []
    for draw in range(draws):
        held = torch.from_numpy(hold_out(manifest, 0.5, draw).split == "val")
        vectors = features[held]
        if power is not None:
            head = EmbeddingEnsemble(features.shape[1], (512,))
            whiten(head, features[~held], labels[~held] if labelled else None, power=power, seed=draw)
            with torch.no_grad():
                vectors = head(vectors)
        result = evaluate_retrieval(vectors, labels[held], recall_at=(1,), metrics=("recall", "map_at_r"))
        assert result.map_at_r is not None
        recall.append(result.recall[1])
        map_at_r.append(result.map_at_r)
    return f"{spread(recall)} | {spread(map_at_r)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    columns: dict[tuple[str, str], list[str]] = {}
    for dataset in DATASETS:
        manifest = open_source(str(given.data / dataset)).only("train")
        features = pooled(manifest)
        fits = {fit: features if fit == "crop" else pooled(manifest, image__fit=fit) for fit in get_args(Fit)}
        filters = {"bilinear": features, "bicubic": pooled(manifest, image__filter="bicubic")}
        rows = (
            ("image.fit", {fit: (x[USUAL], 0.5) for fit, x in fits.items()}),
            ("image.filter, no whitening", {filter: (x[USUAL], None) for filter, x in filters.items()}),
            ("image.filter", {filter: (x[USUAL], 0.5) for filter, x in filters.items()}),
            ("no whitening", {name: (x, None) for name, x in features.items()}),
            ("pooling", {name: (x, 0.5) for name, x in features.items()}),
            ("before the head", {name: (norm(features[USUAL]), 0.5) for name, norm in NORMS.items()}),
            ("power of the whitening", {f"{power:g}": (features[USUAL], power) for power in POWERS}),
            (UNLABELLED, {f"{power:g}": (features[USUAL], power) for power in POWERS}),
        )
        for group, members in rows:
            for name, (x, power) in members.items():
                score = judged(x, manifest, given.draws, power, labelled=group != UNLABELLED)
                columns.setdefault((group, name), []).append(score)
    heads = " | ".join(f"{name}: R@1 | MAP@R" for name in NAMES.values())
    print(f"| | | {heads} |\n|---|---|---|---|---|---|")
    for (group, name), cells in columns.items():
        print(f"| {group} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
