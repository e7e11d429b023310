"""What a Ray cluster costs and gains in bulk embedding: one process against one and two actors on this machine.

    python benchmarks/actors.py [--pictures 100 400] [--actors 1 2] [--data ../shared/data]

Each row is a command `bier embed` with an untrained lite0 of 224 pixels, on so many photographs, in batches of 8. Each
process that computes has one thread. CPU time is that of the *command*, of its *actors*, and of *Ray* itself. From the
two sizes follow what a start costs, and what a picture costs after that. Both are ratios to one process. What Ray
itself takes goes with the time that passes, and is given as such: a busy machine stretches that time.

The last table is arithmetic, not a measurement: a million pictures on n actors with a core each, if a picture costs
what it costs in one process, and nothing else is in short supply.
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
    """Seconds."""

    command: float
    actors: float
    ray: float
    wall: float

    @property
    def computing(self) -> float:
        return self.command + self.actors


class Line(NamedTuple):
    """Seconds of command and actors, as a straight line of the number of pictures."""

    start: float
    picture: float


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
    """CPU time of a command and of all below it, as it was seen last, and the time that passed."""
    began, used, kinds = time.perf_counter(), {}, {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        kinds[process.pid] = "command"
        while process.poll() is None:
            for each in tree(process.pid, children()):
                if fields := stat(each):
                    used[each] = (int(fields[11]) + int(fields[12])) / TICK
                    if computes(each):
                        kinds[each] = "actors"
            time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} has failed")
    wall = time.perf_counter() - began
    sums = {kind: sum(used[each] for each in used if kinds.get(each, "ray") == kind) for kind in Cost._fields[:3]}
    return Cost(**sums, wall=wall)


def computes(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::MapWorker")
    except OSError:
        return False


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
    """Through two sizes."""
    picture = (costs[1].computing - costs[0].computing) / (counts[1] - counts[0])
    return Line(costs[0].computing - picture * counts[0], picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs=2, default=[100, 400])
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BIER_DATA", "../shared/data")))
    options = parser.parse_args()
    # Ray lowers the priority of actors, which on a busy machine would count against them.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    small = ["--workers", "0", "--batch-size", "8"]  # so that a few pictures make tasks for all
    engines = {"one process": small}
    engines |= {f"{count} actors": [*small, "--engine", "ray", "--actors", str(count)] for count in options.actors}
    costs: dict[str, list[Cost]] = {name: [] for name in engines}
    print("| | pictures | command, CPU s | actors, CPU s | Ray, CPU s | Ray, of a core |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = untrained(place / "model.safetensors")
        for count in options.pictures:
            source = photographs(options.data, place / str(count), count)
            for name, engine in engines.items():
                out = place / f"{name}-{count}"
                command = [sys.executable, "-m", "bier.cli", "embed", str(model), str(source), "-o", str(out), *engine]
                cost = measure(command, environment)
                costs[name].append(cost)
                row = [f"{seconds:.1f}" for seconds in cost[:3]]
                print(f"| {name} | {count:,} | {' | '.join(row)} | {cost.ray / cost.wall:.2f} |", flush=True)
    lines = {name: line(options.pictures, found) for name, found in costs.items()}
    show(lines)
    if "1 actors" in costs:
        picture = lines["one process"].picture
        on_paper(picture, costs["1 actors"][0].actors - picture * options.pictures[0])


def show(lines: dict[str, Line]) -> None:
    base = lines["one process"]
    print("\ncommand and actors, ratios to one process\n")
    print("| | a start | a picture |\n|---|---|---|")
    for name, found in lines.items():
        print(f"| {name} | {found.start / base.start:.2f} | {found.picture / base.picture:.2f} |")


def on_paper(picture: float, start: float) -> None:
    """A million pictures, from the CPU seconds of a picture in one process and of an actor's start."""
    print(f"\na million pictures of {1000 * picture:.0f} ms, starts of {start:.0f} s, by arithmetic\n")
    print("| actors | hours | starts / pictures |\n|---|---|---|")
    for count in (1, 8, 32, 128):
        hours = (start + MILLION * picture / count) / 3600
        print(f"| {count} | {hours:.1f} | {count * start / (MILLION * picture):.3f} |")


if __name__ == "__main__":
    main()
