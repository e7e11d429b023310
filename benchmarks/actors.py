"""What a Ray cluster costs and gains in bulk embedding: one process against one and two actors on this machine.

    python benchmarks/actors.py [--pictures 200 800] [--actors 1 2] [--data ../shared/data]

Each row is a command `bier embed` with an untrained lite0 of 224 pixels, on so many photographs, with one thread for
each process that computes. CPU time is that of the command and of all that it starts, Ray's own processes included.
From the two sizes follow what a start costs, and what a picture costs after that. Both are given as ratios to one
process.

The last table is arithmetic, not a measurement: the time of a million pictures on n actors with a core each, if each
costs what one actor costs here, and nothing else is in short supply.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model

TICK = os.sysconf("SC_CLK_TCK")
MILLION = 1_000_000


class Cost(NamedTuple):
    cpu: float
    wall: float


class Line(NamedTuple):
    """Seconds as a straight line of the number of pictures."""

    start: Cost
    picture: Cost


def children() -> dict[int, list[int]]:
    """Of every process, by what /proc says."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := stat(int(folder.name))):
            found.setdefault(int(fields[1]), []).append(int(folder.name))
    return found


def stat(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return []


def tree(root: int, below: dict[int, list[int]]) -> list[int]:
    return [root, *(process for child in below.get(root, []) for process in tree(child, below))]


def measure(command: list[str], environment: dict[str, str]) -> Cost:
    """CPU time of a command and of all below it, as it was seen last, and the time it took."""
    began, used = time.perf_counter(), {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for each in tree(process.pid, children()):
                if fields := stat(each):
                    used[each] = (int(fields[11]) + int(fields[12])) / TICK
            time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} has failed")
    return Cost(sum(used.values()), time.perf_counter() - began)


def photographs(data: Path, folder: Path, count: int) -> Path:
    """Links to the first so many of CUB."""
    files = sorted((data / "cub100" / "images").rglob("*.jpg"))[:count]
    for file in files:
        link = folder / file.parent.name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    return folder


def untrained(file: Path) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone("efficientnet_lite0")
    network = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (96, 160, 256)))
    save_model(file, network, {"size": 224, "fit": "crop"})
    return file


def line(counts: list[int], costs: list[Cost]) -> Line:
    """Through the first and the last of some sizes."""
    steps = [(last - first) / (counts[-1] - counts[0]) for first, last in zip(costs[0], costs[-1], strict=True)]
    starts = [cost - step * counts[0] for cost, step in zip(costs[0], steps, strict=True)]
    return Line(Cost(*starts), Cost(*steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs=2, default=[200, 800])
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BIER_DATA", "../shared/data")))
    options = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    engines = {"one process": ["--workers", "0"]}
    engines |= {f"{count} actors": ["--engine", "ray", "--actors", str(count)] for count in options.actors}
    lines: dict[str, Line] = {}
    print("| | pictures | CPU s | wall s |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = untrained(place / "model.safetensors")
        sources = [photographs(options.data, place / str(count), count) for count in options.pictures]
        for name, engine in engines.items():
            costs = []
            for count, source in zip(options.pictures, sources, strict=True):
                out = place / f"{name}-{count}"
                command = [sys.executable, "-m", "bier.cli", "embed", str(model), str(source), "-o", str(out), *engine]
                costs.append(measure(command, environment))
                print(f"| {name} | {count:,} | {costs[-1].cpu:.1f} | {costs[-1].wall:.1f} |", flush=True)
            lines[name] = line(options.pictures, costs)
    show(lines)


def show(lines: dict[str, Line]) -> None:
    base = lines["one process"]
    print("\nratios to one process\n")
    print("| | start, CPU | start, wall | a picture, CPU | a picture, wall |\n|---|---|---|---|---|")
    for name, found in lines.items():
        ratios = [
            each / unit for part, one in zip(found, base, strict=True) for each, unit in zip(part, one, strict=True)
        ]
        print(f"| {name} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    actor = lines.get("1 actors")
    if actor is None:
        return
    alone = base.start.cpu + MILLION * base.picture.cpu
    print("\na million pictures, by arithmetic\n")
    print("| actors | hours | one process / this | CPU / one process |\n|---|---|---|---|")
    for count in (1, 8, 32, 128):
        hours = (actor.start.cpu + MILLION * actor.picture.cpu / count) / 3600
        spent = count * actor.start.cpu + MILLION * actor.picture.cpu
        print(f"| {count} | {hours:.2f} | {alone / 3600 / hours:.1f} | {spent / alone:.3f} |")


if __name__ == "__main__":
    main()
