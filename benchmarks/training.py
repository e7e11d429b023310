"""Speed of a training step on a CPU, as ratios to plain PyTorch in the same run.

    python benchmarks/training.py [--backbone efficientnet_lite0] [--size 128] [--batch 64] [--threads 1] [--rounds 3]

*plain* trains as PyTorch comes; *channels last* stores images pixel by pixel; *bier* keeps freed memory besides, as
the command line does (`bier.allocator`). Every contender runs in processes of its own, in turn; CPU time, user and
system, of forward and backward of backbone, head and loss, the median of the steps after two to warm up, then of the
rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

CONTENDERS = {"plain": (False, False), "channels last": (True, False), "bier": (True, True)}
STEPS = 7


def measure(backbone: str, size: int, batch: int, threads: int, channels_last: bool, keep: bool) -> dict[str, float]:
    import torch

    from bier import OnlineBoosting, build
    from bier.allocator import keep_freed_memory
    from bier.config import Config
    from bier.losses import BinomialDeviance

    if keep and not keep_freed_memory():
        raise SystemExit("this C library cannot keep freed memory")
    torch.set_num_threads(threads)
    model = build.model(Config().replace(model__backbone=backbone, model__weights="none")).train()
    if channels_last:
        model.to(memory_format=torch.channels_last)
    boost = OnlineBoosting(BinomialDeviance())
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    labels = torch.arange(batch // 4).repeat_interleave(4)
    times = []
    for _ in range(STEPS):
        began = time.process_time()
        boost(model.head.learners(model.backbone(images)), labels).backward()
        model.zero_grad(set_to_none=True)
        times.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": statistics.median(times[2:]), "megabytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contender", choices=CONTENDERS, help="measure one, in this process, and print JSON")
    given = parser.parse_args()
    if given.contender:
        print(json.dumps(measure(given.backbone, given.size, given.batch, given.threads, *CONTENDERS[given.contender])))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(given.rounds):
        for name, results in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--contender", name]
            results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    seconds = {name: statistics.median(r["seconds"] for r in results) for name, results in found.items()}
    print(f"{given.backbone}, {given.batch} images of {given.size} px, {given.threads} thread(s)\n")
    print("| | images a second of CPU time | times plain | MB at the peak |\n|---|---|---|---|")
    for name, results in found.items():
        megabytes = statistics.median(r["megabytes"] for r in results)
        speed = given.batch / seconds[name]
        print(f"| {name} | {speed:.0f} | {seconds['plain'] / seconds[name]:.2f} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()
