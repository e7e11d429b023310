"""How long it takes without a GPU from pictures to an index: training on frozen features, or no training at all.

    python benchmarks/untrained.py PHOTOS [--out FOLDER] [--threads 2] [--size 128] [--views 5]

Each line is a command that a person would type: ``bier train`` with ``model.frozen=true``, ``bier index`` with its
model, and ``bier model``, which needs no labels. The stages of the training are told by its own log. Time on the clock;
the load of the machine is printed beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(*words: str, threads: int) -> tuple[float, str]:
    """Seconds of a command, and what it printed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bier.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.monotonic() - began, done.stdout


def stages(printed: str, whole: float) -> dict[str, float]:
    """Seconds of a training's stages, as it has told them."""
    passes = sum(float(found) for found in re.findall(r"^features of .*, (\d+) s$", printed, re.M))
    epochs = sum(float(found) for found in re.findall(r"images/s, (\d+) s", printed))
    return {
        "features": passes,
        "head": epochs,
        "start, validation, evaluation, report": whole - passes - epochs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=5)
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp())
    size = f"image.size={given.size}"
    options = ["--set", "model.frozen=true", "--set", f"data.views={given.views}", "--set", size]
    train, printed = timed("train", str(given.photos), *options, "--out", str(out / "run"), threads=given.threads)
    index, _ = timed(
        "index", str(given.photos), "-o", str(out / "index"), "--model", str(out / "run"), threads=given.threads
    )
    model, told = timed(
        "model", "efficientnet_lite0", str(given.photos), "-o", str(out / "model"), "--set", size, threads=given.threads
    )
    print(printed)
    print(told)
    rows = {**stages(printed, train), "index": index, "from start to index": train + index, "bier model alone": model}
    print(f"{given.threads} threads, load {os.getloadavg()[0]:.1f} at the end\n\n| stage | seconds |\n|---|---|")
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
