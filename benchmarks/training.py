"""Cost of a training step on a CPU, as ratios to a named baseline in the same run.

    python benchmarks/training.py [--backbone efficientnet_lite0] [--size 128] [--batch 64] [--threads 1] [--rounds 3]
                                  [--groups memory method batches]

*memory*: *plain* trains as PyTorch comes; *channels last* stores images pixel by pixel; *bier* keeps freed memory
besides, as the command line does (`bier.allocator`). *method*: what learners, boosting and diversity cost beside one
embedding with the same loss. *batches*: four times the batch, whole and in parts (`hardware.images_at_once`).

Every contender runs in processes of its own, in turn; CPU time, user and system, of whole training steps, the median of
the steps after two to warm up, then of the rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

STEPS = 7
LARGER = 4


@dataclass(frozen=True)
class Contender:
    channels_last: bool = True
    keep_memory: bool = True
    learners: int = 3
    schedule: str = "stagewise"
    diversity: str = "none"
    batches: int = 1
    """The batch, as a multiple of ``--batch``."""
    in_parts: bool = False
    """Parts of ``--batch`` images in the backbone at once."""


GROUPS: dict[str, dict[str, Contender]] = {
    "memory": {
        "plain": Contender(channels_last=False, keep_memory=False),
        "channels last": Contender(keep_memory=False),
        "bier": Contender(),
    },
    "method": {
        "one embedding": Contender(learners=1, schedule="independent"),
        "three learners": Contender(schedule="independent"),
        "boosted": Contender(),
        "boosted, activation loss": Contender(diversity="activation"),
        "boosted, adversarial loss": Contender(diversity="adversarial"),
    },
    "batches": {
        "the batch": Contender(),
        f"{LARGER} times the batch": Contender(batches=LARGER),
        f"{LARGER} times the batch, in parts": Contender(batches=LARGER, in_parts=True),
    },
}


def measure(contender: Contender, backbone: str, size: int, batch: int, threads: int) -> dict[str, float]:
    """CPU seconds of a step for each image, and the most memory that the process ever held."""
    import torch

    from bier import build
    from bier.allocator import keep_freed_memory
    from bier.config import Config
    from bier.data import Batch
    from bier.train import Job, Progress, step

    if contender.keep_memory and not keep_freed_memory():
        raise SystemExit("this C library cannot keep freed memory")
    torch.set_num_threads(threads)
    config = Config().replace(
        model__backbone=backbone,
        model__weights="none",
        model__learners=contender.learners,
        loss__name="binomial_deviance",
        loss__schedule=contender.schedule,
        diversity__loss=contender.diversity,
    )
    model = build.model(config).train()
    if contender.channels_last:
        model.to(memory_format=torch.channels_last)
    boost = build.boosting(config, model.head.sizes, 2)
    diversity = build.diversity(config, model.head.sizes)
    others = list(diversity.parameters()) if diversity is not None else []
    images = batch * contender.batches
    nothing = dict.fromkeys(("train", "validation", "plan", "transform", "test_transform"))
    job = Job(
        folder=Path(),
        model=model,
        boost=boost,
        diversity=diversity,
        optimizer=build.optimizer(config.optimizer, model, list(boost.parameters()), others),
        rate=lambda number: 1.0,
        image={},
        epochs=1,
        seed=0,
        workers=0,
        device=torch.device("cpu"),
        precision=torch.float32,
        images_at_once=batch if contender.in_parts else None,
        **nothing,
    )
    given = Batch(
        images=torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8),
        labels=torch.arange(images // 4).repeat_interleave(4),
        index=torch.arange(images),
        failed=[],
    )
    times = []
    for _ in range(STEPS):
        began = time.process_time()
        step(job, given, 1.0, Progress(batch=1))
        times.append((time.process_time() - began) / images)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": statistics.median(times[2:]), "megabytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    names = {f"{group}/{name}": contender for group, part in GROUPS.items() for name, contender in part.items()}
    parser.add_argument("--contender", choices=names, help="measure one, in this process, and print JSON")
    given = parser.parse_args()
    if given.contender:
        print(json.dumps(measure(names[given.contender], given.backbone, given.size, given.batch, given.threads)))
        return
    for group in given.groups:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in GROUPS[group]}
        for _ in range(given.rounds):
            for name, results in found.items():
                command = [sys.executable, __file__, *sys.argv[1:], "--contender", f"{group}/{name}"]
                results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        print(f"\n{given.backbone}, batches of {given.batch} images of {given.size} px, {given.threads} thread(s)\n")
        _print(found)


def _print(found: dict[str, list[dict[str, float]]]) -> None:
    baseline = next(iter(found))
    seconds = {name: statistics.median(r["seconds"] for r in results) for name, results in found.items()}
    print(f"| | images a second of CPU time | time, as a share of '{baseline}' | MB at the peak |\n|---|---|---|---|")
    for name, results in found.items():
        megabytes = statistics.median(r["megabytes"] for r in results)
        print(f"| {name} | {1 / seconds[name]:.0f} | {seconds[name] / seconds[baseline]:.2f} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()
