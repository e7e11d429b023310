"""Cost of the boosting losses and of the activation loss, as ratios against named baselines in the same run.

    python benchmarks/losses.py [--rounds 7] [--threads 1] [--batches 64 256]

Baselines: *contrastive*, the leanest dense contrastive loss we could write of the same batch on one 512-d embedding,
plain autograd; *library*, the same from pytorch-metric-learning; *plain*, the boosting formulas written one by one with
(n, n) tensors, plain autograd; *outer product*, the activation loss with its (n, d_i, d_j) tensor. Times are CPU times,
medians of alternating rounds, forward and backward; memory is the peak of what torch allocates during one forward and
backward, inputs not counted. The largest batch shows how both grow: it has 4 times the rows of the one before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ContrastiveLoss
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from bier import OnlineBoosting
from bier.losses import BinomialDeviance, Loss, MultiSimilarity
from bier.method.diversity import joint_activation

SIZES = (85, 171, 256)
LIBRARY = ContrastiveLoss(pos_margin=1, neg_margin=0.5, distance=CosineSimilarity())


def contrastive(outputs: list[Tensor], labels: Tensor) -> Tensor:
    z = F.normalize(outputs[0], dim=1)
    s = z @ z.T
    same = labels[:, None] == labels
    off = ~torch.eye(len(labels), dtype=torch.bool)
    terms = torch.where(same, (1 - s).square(), F.relu(s - 0.5))
    weights = torch.where(same, 1 / same.sum(), 1 / (~same).sum()) * off
    return (weights * terms).sum()


def library(outputs: list[Tensor], labels: Tensor) -> Tensor:
    loss: Tensor = LIBRARY(outputs[0], labels)
    return loss


def plain_deviance(outputs: list[Tensor], labels: Tensor) -> Tensor:
    same = labels[:, None] == labels
    y = same.float()
    w = (y / y.sum() + (1 - y) / (1 - y).sum()) * (1 - torch.eye(len(labels)))
    c = torch.where(same, 1.0, -25.0)
    boosting = torch.ones_like(w)
    acts = torch.full_like(w, 0.5)
    total = outputs[0].new_zeros(())
    for f in outputs:
        z = F.normalize(f, dim=1)
        a = 2 * (z @ z.T - 0.5) * c
        total = total + (w * boosting * F.softplus(-a)).sum() / len(outputs)
        acts = acts + 0.06 * a.detach()
        boosting = torch.sigmoid(-acts) * torch.where(same, 1.0, 2.0)
    return total


def plain_multi_similarity(outputs: list[Tensor], labels: Tensor) -> Tensor:
    return Loss.boost(MultiSimilarity(), outputs, labels, schedule="stagewise", shrinkage=1.0, trace=False).loss


def outer_product(g: list[Tensor], _: Tensor) -> Tensor:
    total = g[0].new_zeros(())
    for j in range(len(g)):
        for i in range(j):
            total = total + (g[i][:, :, None] * g[j][:, None, :]).square().mean()
    return total


def activation(g: list[Tensor], _: Tensor) -> Tensor:
    return joint_activation(g)


def measure(function: Callable[[list[Tensor], Tensor], Tensor], inputs: list[Tensor], labels: Tensor) -> float:
    for x in inputs:
        x.grad = None
    began = time.process_time()
    function(inputs, labels).backward()
    return time.process_time() - began


def peak_memory(function: Callable[[list[Tensor], Tensor], Tensor], inputs: list[Tensor], labels: Tensor) -> float:
    """MB that torch holds at the worst moment of one forward and backward."""
    for x in inputs:
        x.grad = None
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function(inputs, labels).backward()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak / 1e6


def compare(
    names: dict[str, Callable[[list[Tensor], Tensor], Tensor]], batch: int, rounds: int
) -> dict[str, tuple[float, float]]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(batch // 4).repeat_interleave(4)
    centres = torch.randn(batch // 4, sum(SIZES), generator=generator)
    points = centres[labels] + torch.randn(batch, sum(SIZES), generator=generator)
    parts = [part.contiguous().requires_grad_() for part in points.split(SIZES, dim=1)]
    whole = [points.clone().requires_grad_()]
    given = {name: whole if name in ("contrastive", "library") else parts for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for name, function in names.items():
        measure(function, given[name], labels)
    repeats = max(1, 2048 // batch)
    for _ in range(rounds):
        for name, function in names.items():
            times[name] += [statistics.median(measure(function, given[name], labels) for _ in range(repeats))]
    return {
        name: (statistics.median(times[name]), peak_memory(function, given[name], labels))
        for name, function in names.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024, 4096])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s); ratios to the baseline named in each head")
    for base_loss, plain in ((MultiSimilarity(), plain_multi_similarity), (BinomialDeviance(), plain_deviance)):
        boost = OnlineBoosting(base_loss)
        print(f"\n{type(base_loss).__name__}, {boost.schedule}, learners 85/171/256")
        print("| batch | time / contrastive | / library | plain / contrastive | MB | contrastive | plain |")
        print("|---|---|---|---|---|---|---|")
        for batch in arguments.batches:
            found = compare(
                {"contrastive": contrastive, "bier": boost, "library": library, "plain": plain},
                batch,
                arguments.rounds if batch <= 1024 else 1,
            )
            base = found["contrastive"]
            print(
                f"| {batch} | {found['bier'][0] / base[0]:.2f} | {found['bier'][0] / found['library'][0]:.2f} "
                f"| {found['plain'][0] / base[0]:.2f} "
                f"| {found['bier'][1]:.1f} | {base[1]:.1f} | {found['plain'][1]:.1f} |",
                flush=True,
            )
    print("\nactivation loss of given responses, learners 85/171/256")
    print("| batch | outer product / time | MB | outer product MB |")
    print("|---|---|---|---|")
    for batch in (32, 128, 1024):
        rounds = arguments.rounds if batch < 1024 else 3
        found = compare({"outer": outer_product, "bier": activation}, batch, rounds)
        print(
            f"| {batch} | {found['outer'][0] / found['bier'][0]:.0f} "
            f"| {found['bier'][1]:.2f} | {found['outer'][1]:.0f} |"
        )


if __name__ == "__main__":
    main()
