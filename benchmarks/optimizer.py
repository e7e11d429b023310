"""Cost of moving the weights on a CPU: AdamW in several passes over memory, and fused into one as `bier train` does.

    python benchmarks/optimizer.py [--backbone efficientnet_lite0] [--threads 1] [--rounds 30]

Both take turns in one process, on weights and gradients of the same values. CPU time, medians. *Four times the weights*
shows how both grow.
"""

from __future__ import annotations

import argparse
import statistics
import time

import timm
import torch
from torch import nn


def contender(weights: list[torch.Tensor], fused: bool) -> torch.optim.Optimizer:
    parameters = [nn.Parameter(weight.clone()) for weight in weights]
    for number, parameter in enumerate(parameters):
        generator = torch.Generator().manual_seed(number)
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return torch.optim.AdamW(parameters, lr=1e-4, fused=fused)


def measure(optimizer: torch.optim.Optimizer) -> float:
    began = time.process_time()
    optimizer.step()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    weights = [parameter.detach() for parameter in timm.create_model(arguments.backbone).parameters()]
    print(f"{arguments.backbone}, torch {torch.__version__}, {arguments.threads} thread(s), CPU time of a step")
    print("| weights | several passes | fused | fused / several passes |")
    print("|---|---|---|---|")
    for copies in (1, 4):
        contenders = {fused: contender(weights * copies, fused) for fused in (False, True)}
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(arguments.rounds):
            for fused, optimizer in contenders.items():
                times[fused].append(measure(optimizer))
        passes, fused_time = (statistics.median(times[fused]) for fused in (False, True))
        count = copies * sum(weight.numel() for weight in weights)
        print(
            f"| {count / 1e6:.1f} million | {1000 * passes:.1f} ms | {1000 * fused_time:.1f} ms "
            f"| {fused_time / passes:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
