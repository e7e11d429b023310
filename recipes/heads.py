"""Heads on frozen features: boosting, diversity, losses and sizes compared over five seeds in minutes, on a CPU.

    python recipes/heads.py run [--data ../shared/data] [--out runs/heads] [--part 0/2] [--only single stagewise ...]
    python recipes/heads.py table [--out runs/heads]

The backbone stays as it came; only the linear layer on top is trained, from learned whitening, on features of five
views of each training image (the centre and four random ones). So this says what the method does to the *embedding*,
and nothing about what it does to a backbone: docs/results.md has both.

Every contender gets the same steps and batches and the same trials: three learning rates, judged by MAP@R on half of
the training classes, held out, over two draws. With the rate chosen it is trained on all training classes, five seeds,
and evaluated on the test classes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tables import DATASETS, NAMES, spread
from torch import Tensor, nn

from bier import ActivationLoss, AdversarialLoss, EmbeddingEnsemble, OnlineBoosting, initialize, learner_sizes
from bier.data import BatchPlan, Manifest, hold_out, image_loader, open_source, train_loader
from bier.evaluate import evaluate_learners, evaluate_retrieval, learner_correlation
from bier.losses import (
    BinomialDeviance,
    Contrastive,
    Loss,
    MultiSimilarity,
    NormalizedSoftmax,
    ProxyAnchor,
    PytorchMetricLearning,
    Triplet,
)
from bier.method.ensemble import normalize
from bier.method.losses.base import Schedule
from bier.method.whitening import whiten
from bier.network.folded import InferenceBackbone
from bier.runs import build, optimization
from bier.settings.schema import Config, OptimizerConfig
from bier.system.allocator import keep_freed_memory
from bier.system.files import write_json

CONFIG = Config().replace(
    image__size=128,
    image__crop_scale=0.3,  # the tables were made so
    data__workers=1,
    model__pooling="average",
)
SEEDS, DRAWS = range(5), range(2)
RATES = (1e-4, 3e-4, 1e-3)
STEPS, CLASSES, IMAGES = 300, 16, 4
VIEWS = 4
"""Random views of each training image, beside the centre."""
PROXY_FACTOR = 100.0
"""Proxies start at random and learn so many times faster than the head (as in Kim et al. 2020)."""

MakeLoss = Callable[[int, Sequence[int]], Loss]


def deviance(classes: int, sizes: Sequence[int]) -> Loss:
    return BinomialDeviance()


@dataclass(frozen=True)
class Contender:
    title: str
    schedule: Schedule = "stagewise"
    loss: MakeLoss = deviance
    sizes: tuple[int, ...] = learner_sizes(512, 3)
    start: str = "whitening"
    diversity: str = "none"
    before: bool = False
    """The diversity loss as initialisation."""
    during: bool = True
    """The diversity loss during training."""
    noise: float = 0.0
    """Share of training images with a label drawn at random."""
    codes: bool = False
    """Evaluate int8 and binary codes as well."""
    nested: bool = False
    """Matryoshka: each learner is a prefix of one embedding, learned side by side."""
    steps: int = STEPS
    batch: tuple[int, int] = (CLASSES, IMAGES)


def contrastive(classes: int, sizes: Sequence[int]) -> Loss:
    return Contrastive()


def triplet(classes: int, sizes: Sequence[int]) -> Loss:
    return Triplet()


def multi_similarity(classes: int, sizes: Sequence[int]) -> Loss:
    return MultiSimilarity()


def info_nce(classes: int, sizes: Sequence[int]) -> Loss:
    from pytorch_metric_learning.losses import NTXentLoss

    return PytorchMetricLearning(NTXentLoss())


ONE = (512,)
LONG = 4 * STEPS
LARGE, LARGER = (16, 16), (24, 32)
WITH_NOISE: tuple[tuple[str, str, Schedule, tuple[int, ...]], ...] = (
    ("single", "one 512-d embedding", "independent", ONE),
    ("additive", "BIER, additive", "additive", learner_sizes(512, 3)),
    ("stagewise", "BIER, stagewise", "stagewise", learner_sizes(512, 3)),
)
GROUPS: dict[str, dict[str, Contender]] = {
    "Schedules, binomial deviance": {
        "single": Contender("one 512-d embedding", "independent", sizes=ONE, codes=True),
        "unboosted": Contender("three learners, no boosting", "independent"),
        "additive": Contender("BIER, additive", "additive"),
        "convex": Contender("BIER, convex", "convex"),
        "stagewise": Contender("BIER, stagewise", codes=True),
    },
    "Diversity, with stagewise boosting": {
        "activation": Contender("activation loss", diversity="activation"),
        "adversarial": Contender("adversarial loss", diversity="adversarial"),
        "regressors": Contender("adversarial loss, its constraint on weights left out", diversity="regressors"),
        "constraint": Contender("the constraint alone", diversity="constraint"),
        "constraint-single": Contender(
            "the constraint, one 512-d embedding", "independent", sizes=ONE, diversity="constraint"
        ),
        **{
            f"{loss}-{key}": Contender(f"{loss} loss {title}", diversity=loss, before=True, during=during)
            for loss in ("activation", "adversarial")
            for key, title, during in (
                ("before", "as initialisation", False),
                ("both", "as initialisation and during training", True),
            )
        },
    },
    "Start from a random head": {
        "random-single": Contender("one 512-d embedding", "independent", sizes=ONE, start="random"),
        "random-stagewise": Contender("BIER, stagewise", start="random"),
    },
    "Numbers of learners and dimensions, stagewise": {
        "two": Contender("2 learners", sizes=learner_sizes(512, 2)),
        "four": Contender("4 learners", sizes=learner_sizes(512, 4)),
        "eight": Contender("8 learners", sizes=learner_sizes(512, 8)),
        "wide-single": Contender("one 1024-d embedding", "independent", sizes=(1024,)),
        "wide": Contender("3 learners, 1024-d", sizes=learner_sizes(1024, 3)),
    },
    "Other losses, alone and boosted": {
        "contrastive-single": Contender("contrastive, one embedding", "independent", contrastive, ONE),
        "contrastive-convex": Contender("contrastive, convex", "convex", contrastive),
        "contrastive-stagewise": Contender("contrastive, stagewise", "stagewise", contrastive),
        "triplet-single": Contender("triplet, one embedding", "independent", triplet, ONE),
        "triplet-convex": Contender("triplet, convex", "convex", triplet),
        "triplet-stagewise": Contender("triplet, stagewise", "stagewise", triplet),
        "ms-single": Contender("multi-similarity, one embedding", "independent", multi_similarity, ONE),
        "ms-stagewise": Contender("multi-similarity, stagewise", "stagewise", multi_similarity),
        "softmax-single": Contender("normalised softmax, one embedding", "independent", NormalizedSoftmax, ONE),
        "softmax-convex": Contender("normalised softmax, convex", "convex", NormalizedSoftmax),
        "softmax-stagewise": Contender("normalised softmax, stagewise", "stagewise", NormalizedSoftmax),
        "anchor-single": Contender("Proxy-Anchor, one embedding", "independent", ProxyAnchor, ONE),
        "anchor-stagewise": Contender("Proxy-Anchor, stagewise", "stagewise", ProxyAnchor),
        "infonce-single": Contender("InfoNCE (NT-Xent), one embedding", "stagewise", info_nce, ONE),
        "infonce-stagewise": Contender("InfoNCE (NT-Xent), stagewise", "stagewise", info_nce),
    },
    f"Four times as long, {LONG} steps": {
        "long-single": Contender("one 512-d embedding", "independent", sizes=ONE, steps=LONG),
        "long-unboosted": Contender("three learners, no boosting", "independent", steps=LONG),
        "long-additive": Contender("BIER, additive", "additive", steps=LONG),
        "long-convex": Contender("BIER, convex", "convex", steps=LONG),
        "long-stagewise": Contender("BIER, stagewise", steps=LONG),
        "long-activation": Contender("BIER, stagewise, activation loss", diversity="activation", steps=LONG),
        "long-adversarial": Contender("BIER, stagewise, adversarial loss", diversity="adversarial", steps=LONG),
    },
    "Larger batches, as many steps": {
        "large-single": Contender("one 512-d embedding, batches of 256", "independent", sizes=ONE, batch=LARGE),
        "large-stagewise": Contender("BIER, stagewise, batches of 256", batch=LARGE),
        "larger-single": Contender("one 512-d embedding, batches of 768", "independent", sizes=ONE, batch=LARGER),
        "larger-stagewise": Contender("BIER, stagewise, batches of 768", batch=LARGER),
    },
    "Constants of the deviance, stagewise": {
        "beta-0.2": Contender("beta 0.2", loss=lambda classes, sizes: BinomialDeviance(beta=0.2)),
        "cost-5": Contender("C 5", loss=lambda classes, sizes: BinomialDeviance(cost=5.0)),
        "alpha-4": Contender("alpha 4", loss=lambda classes, sizes: BinomialDeviance(alpha=4.0)),
    },
    "Small embeddings, to compare with prefixes": {
        "small-85": Contender("one 85-d embedding", "independent", sizes=(85,)),
        "small-256": Contender("one 256-d embedding", "independent", sizes=(256,)),
        "matryoshka": Contender("Matryoshka, 85, 256 and 512-d prefixes", "independent", nested=True),
    },
    "Label noise": {
        f"{name}-noise-{int(100 * noise)}": Contender(
            f"{title}, {int(100 * noise)} % of labels wrong", schedule, sizes=sizes, noise=noise
        )
        for noise in (0.2, 0.4)
        for name, title, schedule, sizes in WITH_NOISE
    },
}


CONTENDERS = {key: contender for group in GROUPS.values() for key, contender in group.items()}


@dataclass(frozen=True)
class Features:
    """Of training images (1 + VIEWS, n, d), of test images (m, d), and the classes of both."""

    train: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor


def features(data: Path, dataset: str, out: Path) -> Features:
    """From the cache, made when it is not there yet."""
    manifest = open_source(str(data / dataset))
    training, test = manifest.only("train"), manifest.only("test")
    cache = out / dataset / "features.safetensors"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        save_file(_extract(training, test), cache)
    tensors = load_file(cache)
    return Features(
        tensors["train"],
        torch.from_numpy(training.codes()),
        tensors["test"],
        torch.from_numpy(test.codes()),
    )


@torch.inference_mode()
def _extract(training: Manifest, test: Manifest) -> dict[str, Tensor]:
    backbone = InferenceBackbone(build.model(CONFIG).backbone)
    size = build.image_size(CONFIG, torch.device("cpu"))
    same, view = build.test_transform(CONFIG, size), build.train_transform(CONFIG, size)
    every = BatchPlan(training.codes(), CLASSES, IMAGES, seed=0)  # names every image at least once in an epoch
    views = [torch.cat([backbone(batch.images) for batch in image_loader(training, same, workers=1)])]
    for epoch in range(VIEWS):
        found = torch.empty_like(views[0])
        for batch in train_loader(training, every, view, seed=0, epoch=epoch, workers=1):
            found[batch.index] = backbone(batch.images)
        views.append(found)
    return {
        "train": torch.stack(views),
        "test": torch.cat([backbone(batch.images) for batch in image_loader(test, same, workers=1)]),
    }


def train(contender: Contender, given: Tensor, labels: Tensor, rate: float, seed: int) -> EmbeddingEnsemble:
    """A head on features (views, n, d) of labels (n,)."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    codes = labels.unique(return_inverse=True)[1]
    classes = int(codes.max()) + 1
    if contender.noise:
        wrong = torch.from_numpy(random.random(len(codes)) < contender.noise)
        codes = torch.where(wrong, torch.from_numpy(random.integers(classes, size=len(codes))), codes)
    head = EmbeddingEnsemble(given.shape[2], contender.sizes)
    if contender.start == "whitening":
        whiten(head, given[0], codes, seed=seed)
    loss = contender.loss(classes, contender.sizes)
    boost = OnlineBoosting(loss, contender.schedule)
    diversity = _diversity(contender, head)
    if contender.before and diversity is not None:
        initialize(head, given[0], diversity, seed=seed)
    if not contender.during:
        diversity = None
    parameters = [*head.parameters(), *(diversity.parameters() if diversity is not None else ())]
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "lr": rate}, {"params": [*boost.parameters()], "lr": rate * PROXY_FACTOR}],
        weight_decay=2e-4,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, optimization.rate_schedule(OptimizerConfig(warmup=0.1), contender.steps)
    )
    plan = BatchPlan(codes.numpy(), *contender.batch, seed)
    for step in range(contender.steps):
        if step % len(plan) == 0:
            batches = plan.epoch(step // len(plan))
        rows = torch.from_numpy(batches[step % len(plan)])
        x = given[torch.from_numpy(random.integers(len(given), size=len(rows))), rows]
        total = boost(_learners(contender, head, x), codes[rows])
        if diversity is not None:
            total = total + diversity(x, head)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        schedule.step()
    return head


def _diversity(contender: Contender, head: EmbeddingEnsemble) -> nn.Module | None:
    kinds: dict[str, Callable[[], nn.Module]] = {
        "activation": ActivationLoss,
        "adversarial": lambda: AdversarialLoss(head.sizes),
        "regressors": lambda: AdversarialLoss(head.sizes, regularization=0.0),
        "constraint": lambda: AdversarialLoss(head.sizes[:1]),  # no other learner, so no regressor
    }
    return kinds[contender.diversity]() if contender.diversity in kinds else None


def _learners(contender: Contender, head: EmbeddingEnsemble, x: Tensor) -> tuple[Tensor, ...]:
    outputs = head.learners(x)
    if not contender.nested:
        return outputs
    return tuple(torch.cat(outputs[: m + 1], dim=1) for m in range(len(outputs)))


@torch.no_grad()
def evaluate(contender: Contender, head: EmbeddingEnsemble, given: Tensor, labels: Tensor) -> dict[str, Any]:
    """Rows for the whole, each learner and each prefix; for codes of the learners; and their correlation."""
    learners = head.learners(given)
    alpha = head.scales().square()
    if contender.nested:  # one embedding, of which each prefix is another
        prefixes = [torch.cat(learners[: m + 1], dim=1) for m in range(len(learners))]
        return {"rows": [row for prefix in prefixes for row in _rows([prefix], [1.0], labels)[:1]]}
    found: dict[str, Any] = {
        "rows": _rows(learners, alpha, labels),
        "learner_correlation": learner_correlation(learners).tolist(),
    }
    if contender.codes:
        found["binary"] = _rows([part.sign() for part in learners], alpha, labels)[0]
        found["int8"] = _rows([(normalize(part) * 127).round() for part in learners], alpha, labels)[0]
    return found


@torch.no_grad()
def map_at_r(contender: Contender, head: EmbeddingEnsemble, given: Tensor, labels: Tensor) -> float:
    vectors = head.linear(given) if contender.nested else head(given)
    result = evaluate_retrieval(vectors, labels, metrics=["map_at_r"]).map_at_r
    assert result is not None
    return result


def _rows(learners: Sequence[Tensor], alpha: Tensor | Sequence[float], labels: Tensor) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = evaluate_learners(list(learners), alpha, labels, metrics=("recall", "map_at_r"))
    return rows


def chosen_rate(contender: Contender, data: Features, manifest: Manifest) -> tuple[float, dict[str, float]]:
    """The rate with the best mean MAP@R on held-out training classes, and all of them."""
    found: dict[str, float] = {}
    for rate in RATES:
        scores = []
        for draw in DRAWS:
            held = torch.from_numpy(hold_out(manifest, 0.5, draw).split == "val")
            head = train(contender, data.train[:, ~held], data.labels[~held], rate, seed=draw)
            scores.append(map_at_r(contender, head, data.train[0, held], data.labels[held]))
        found[f"{rate:g}"] = float(np.mean(scores))
    best = max(found, key=lambda key: found[key])
    return float(best), found


def whole(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of all dimensions."""
    return max(rows, key=lambda row: (row["dimensions"], row["kind"] == "ensemble"))


def run(data: Path, out: Path, part: int, parts: int, only: Sequence[str]) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    jobs = [(dataset, key, CONTENDERS[key]) for key in only or CONTENDERS for dataset in DATASETS]
    for dataset, key, contender in jobs[part::parts]:
        target = out / dataset / f"{key}.json"
        if target.exists():
            continue
        given = features(data, dataset, out)
        manifest = open_source(str(data / dataset)).only("train")
        rate, trials = chosen_rate(contender, given, manifest)
        seeds = []
        for seed in SEEDS:
            head = train(contender, given.train, given.labels, rate, seed)
            seeds.append(evaluate(contender, head, given.test, given.test_labels))
        write_json(target, {"title": contender.title, "rate": rate, "trials": trials, "seeds": seeds})
        print(dataset, key, f"rate {rate:g}", spread([whole(s["rows"])["recall"]["1"] for s in seeds]), flush=True)


def print_tables(out: Path) -> None:
    """Of the contenders that have run."""
    for title, contenders in GROUPS.items():
        lines = [line for key, contender in contenders.items() if (line := _line(out, key, contender)) is not None]
        if lines:
            heads = " | ".join(f"{name}: R@1 | MAP@R" for name in NAMES.values())
            print(f"\n### {title}\n\n| | {heads} | between learners' scores |\n|---|---|---|---|---|---|")
            print("\n".join(lines))
    _print_prefixes(out)


def _line(out: Path, key: str, contender: Contender) -> str | None:
    cells, correlation = [], []
    for dataset in DATASETS:
        seeds = seeds_of(out, dataset, key)
        rows = [whole(seed["rows"]) for seed in seeds]
        figures = [row["recall"]["1"] for row in rows], [row["map_at_r"] for row in rows]
        cells += [spread(values) if values else "" for values in figures]
        correlation += [_between(seed) for seed in seeds if "learner_correlation" in seed]
    known = [value for value in correlation if value is not None]
    between = f"{np.mean(known):.2f}" if known else ""
    return f"| {contender.title} | {' | '.join(cells)} | {between} |" if any(cells) else None


def seeds_of(out: Path, dataset: str, key: str) -> list[dict[str, Any]]:
    """What was measured of a contender, seed by seed; nothing where it has not run."""
    file = out / dataset / f"{key}.json"
    if not file.exists():
        return []
    seeds: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["seeds"]
    return seeds


def _between(seed: dict[str, Any]) -> float | None:
    matrix = np.array(seed["learner_correlation"])
    return float(matrix[np.triu_indices(len(matrix), 1)].mean()) if len(matrix) > 1 else None


def _print_prefixes(out: Path) -> None:
    print("\n### Recall@1 of smaller embeddings and of codes\n")
    print(f"| | {' | '.join(NAMES.values())} |\n|---|---|---|")
    wanted: list[tuple[str, str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
        ("first learner of BIER, 85-d", "stagewise", lambda seed: _of(seed["rows"], 85)),
        ("one 85-d embedding", "small-85", lambda seed: whole(seed["rows"])),
        ("Matryoshka, first 85", "matryoshka", lambda seed: _of(seed["rows"], 85)),
        ("first two learners of BIER, 256-d", "stagewise", lambda seed: _of(seed["rows"], 256, "prefix")),
        ("one 256-d embedding", "small-256", lambda seed: whole(seed["rows"])),
        ("Matryoshka, first 256", "matryoshka", lambda seed: _of(seed["rows"], 256)),
        ("BIER, 512-d, float32", "stagewise", lambda seed: whole(seed["rows"])),
        ("Matryoshka, all 512", "matryoshka", lambda seed: whole(seed["rows"])),
        ("BIER, 512 bytes (int8)", "stagewise", lambda seed: seed["int8"]),
        ("BIER, 512 bits", "stagewise", lambda seed: seed["binary"]),
        ("one embedding, 512 bits", "single", lambda seed: seed["binary"]),
    ]
    for title, key, pick in wanted:
        cells = []
        for dataset in DATASETS:
            seeds = seeds_of(out, dataset, key)
            cells.append(spread([pick(seed)["recall"]["1"] for seed in seeds]) if seeds else "")
        if any(cells):
            print(f"| {title} | {' | '.join(cells)} |")


def _of(rows: list[dict[str, Any]], dimensions: int, kind: str | None = None) -> dict[str, Any]:
    return next(row for row in rows if row["dimensions"] == dimensions and kind in (None, row["kind"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/heads"))
    parser.add_argument("--part", default="0/1", help="which share of the work, for example 0/2")
    parser.add_argument("--only", nargs="+", default=[], choices=CONTENDERS, metavar="NAME", help=", ".join(CONTENDERS))
    arguments = parser.parse_args()
    if arguments.action == "run":
        part, parts = map(int, arguments.part.split("/"))
        run(arguments.data, arguments.out, part, parts, arguments.only)
    else:
        print_tables(arguments.out)


if __name__ == "__main__":
    main()
