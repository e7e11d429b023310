"""Cost of a training step, as ratios to a named baseline in the same run.

    python benchmarks/training.py [--backbone efficientnet_lite0] [--size 128] [--batch 64] [--threads 1] [--rounds 3]
                                  [--groups memory launches method precision batches] [--device cuda]

*memory*: *plain* trains as PyTorch comes; *channels last* stores images pixel by pixel; *bier* keeps freed memory
besides, as the command line does (`bier.system.allocator`). *launches* (on a GPU only): the backbone's kernels one by
one, and recorded as CUDA graphs. *method*: what learners, boosting and diversity cost beside one embedding with the
same loss. *precision*: float32, bfloat16, and what a run on a CPU chooses by a trial. *batches*: four times the batch,
whole and in parts (`hardware.images_at_once`).

Every contender runs in processes of its own, in turn; CPU time, user and system, of whole training steps, the median of
the steps after two to warm up, then of the rounds. On a GPU: all in one process, time on the clock, more steps, the
precision that training takes there, and memory of the GPU.
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

STEPS = 7
GPU_STEPS = 32
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
    cuda_graphs: bool = True
    precision: str = "auto"
    """As in the settings, where ``trial`` stands for what a run chooses on a CPU."""


GROUPS: dict[str, dict[str, Contender]] = {
    "memory": {
        "plain": Contender(channels_last=False, keep_memory=False),
        "channels last": Contender(keep_memory=False),
        "bier": Contender(),
    },
    "launches": {
        "one by one": Contender(cuda_graphs=False),
        "recorded": Contender(),
    },
    "method": {
        "one embedding": Contender(learners=1, schedule="independent"),
        "three learners": Contender(schedule="independent"),
        "boosted": Contender(),
        "boosted, activation loss": Contender(diversity="activation"),
        "boosted, adversarial loss": Contender(diversity="adversarial"),
    },
    "precision": {
        "float32": Contender(precision="float32"),
        "bfloat16": Contender(precision="bfloat16"),
        "as a trial chooses": Contender(precision="trial"),
    },
    "batches": {
        "the batch": Contender(),
        f"{LARGER} times the batch": Contender(batches=LARGER),
        f"{LARGER} times the batch, in parts": Contender(batches=LARGER, in_parts=True),
    },
}


def measure(contender: Contender, backbone: str, size: int, batch: int, threads: int, device: str) -> dict[str, float]:
    """Seconds of a step for each image, and the most memory that the process, or the GPU, ever held."""
    import torch

    from bier.runs import build, optimization
    from bier.runs.habits import with_habits
    from bier.runs.precision import IMAGES, WORTH, tried
    from bier.settings.schema import Config
    from bier.system.allocator import keep_freed_memory
    from bier.system.hardware import CPU, has_bfloat16
    from bier.training.batch import WholeBatch
    from bier.training.job import Learning
    from bier.training.step import step

    on_gpu = device == "cuda"
    if contender.keep_memory and not keep_freed_memory():
        raise SystemExit("this C library cannot keep freed memory")
    torch.set_num_threads(threads)
    config = with_habits(
        Config().replace(
            model__backbone=backbone,
            model__weights="none",
            model__learners=contender.learners,
            loss__name="binomial_deviance",
            loss__schedule=contender.schedule,
            diversity__loss=contender.diversity,
            hardware__device=device,
            hardware__cuda_graphs=contender.cuda_graphs,
            hardware__images_at_once=batch if contender.in_parts else None,
        )
    )
    model = build.model(config).train().to(device)
    precision = contender.precision
    if precision == "trial":
        precision = "bfloat16" if has_bfloat16(CPU) and tried(model.backbone, IMAGES, size) < WORTH else "float32"
    config = config.replace(hardware__precision=precision)
    if contender.channels_last:
        model.to(memory_format=torch.channels_last)
    boost = build.boosting(config, model.head.sizes, 2).to(device)
    diversity = build.diversity(config, model.head.sizes)
    others = list(diversity.to(device).parameters()) if diversity is not None else []
    images = batch * contender.batches
    hardware = build.hardware(config)
    learning = Learning(
        model=model,
        backbone=build.training_backbone(config, model, hardware, images),
        boost=boost,
        diversity=diversity,
        optimizer=optimization.optimizer(config.optimizer, model, list(boost.parameters()), others),
        images_at_once=config.hardware.images_at_once,
    )
    given = WholeBatch(
        images=torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8),
        own=slice(0, images),
        labels=torch.arange(images // 4).repeat_interleave(4),
        index=torch.arange(images),
    )
    clock = time.perf_counter if on_gpu else time.process_time
    times = []
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(GPU_STEPS if on_gpu else STEPS):
        began = clock()
        step(learning, hardware, given, factor=1.0, seed=0)
        if on_gpu:
            torch.cuda.synchronize()
        times.append((clock() - began) / images)
    kilobytes = (
        torch.cuda.max_memory_allocated() / 1024 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    return {"seconds": statistics.median(times[2:]), "megabytes": kilobytes / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--groups", nargs="+", choices=GROUPS)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    names = {f"{group}/{name}": contender for group, part in GROUPS.items() for name, contender in part.items()}
    parser.add_argument("--contender", choices=names, help="measure one, in this process, and print JSON")
    given = parser.parse_args()

    def here(name: str) -> dict[str, float]:
        return measure(names[name], given.backbone, given.size, given.batch, given.threads, given.device)

    def apart(name: str) -> dict[str, float]:
        command = [sys.executable, __file__, *sys.argv[1:], "--contender", name]
        found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return found

    if given.contender:
        print(json.dumps(here(given.contender)))
        return
    # A GPU takes long to start, and keeps its own account of memory.
    how, where, unit = (
        (here, _gpu(), "second")
        if given.device == "cuda"
        else (apart, f"{given.threads} thread(s)", "second of CPU time")
    )
    everything = [group for group in GROUPS if group != "launches" or given.device == "cuda"]
    for group in given.groups or everything:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in GROUPS[group]}
        for _ in range(given.rounds):
            for name, results in found.items():
                results.append(how(f"{group}/{name}"))
        print(f"\n{given.backbone}, batches of {given.batch} images of {given.size} px, {where}\n")
        _print(found, unit)


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name()


def _print(found: dict[str, list[dict[str, float]]], unit: str) -> None:
    baseline = next(iter(found))
    seconds = {name: statistics.median(r["seconds"] for r in results) for name, results in found.items()}
    print(f"| | images a {unit} | time, as a share of '{baseline}' | MB at the peak |\n|---|---|---|---|")
    for name, results in found.items():
        megabytes = statistics.median(r["megabytes"] for r in results)
        print(f"| {name} | {1 / seconds[name]:.0f} | {seconds[name] / seconds[baseline]:.2f} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()
