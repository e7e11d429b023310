"""Did a change of the code change any result? Short seeded trainings, compared bit for bit with another revision.

    python benchmarks/fingerprint.py                     # fingerprints of this checkout
    python benchmarks/fingerprint.py --against REVISION  # and whether that revision gives the same

Each training runs as a user runs it, on pictures drawn from a seed. A fingerprint is the sha256 of all weights,
in order of their names, and of the metrics on test classes. Figures agree only on one machine with one set of packages.
The CPU time of ``import bier`` and of ``bier --help`` stands beside them: the smallest of several runs, in seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[1]
SMALL = (
    "seed=1",
    "image.size=32",
    "optimizer.epochs=2",
    "data.classes_per_batch=4",
    "data.images_per_class=3",
    "data.workers=0",
    "hardware.threads=1",
    "hardware.device=cpu",
)
TRAININGS: dict[str, tuple[str, ...]] = {
    "the defaults": (),
    "binomial deviance, additive, adversarial": (
        "loss.name=binomial_deviance",
        "loss.schedule=additive",
        "diversity.loss=adversarial",
    ),
    "contrastive, convex, both diversities": (
        "loss.name=contrastive",
        "loss.schedule=convex",
        "diversity.loss=both",
        "diversity.initialize=true",
    ),
    "triplet, additive": ("loss.name=triplet", "loss.schedule=additive"),
    "normalised softmax, convex": ("loss.name=normalized_softmax", "loss.schedule=convex"),
    "Proxy-Anchor, in parts": ("loss.name=proxy_anchor", "hardware.images_at_once=5"),
    "independent, random start": ("loss.name=binomial_deviance", "loss.schedule=independent", "model.start=random"),
}


def draw_pictures(folder: Path, classes: int = 12, each: int = 6) -> None:
    """Blots of a colour and a place for each class, with noise."""
    random = np.random.default_rng(0)
    for label in range(classes):
        (folder / f"class{label:02}").mkdir(parents=True)
        colour, place = random.integers(0, 256, 3), random.integers(0, 24, 2)
        for number in range(each):
            picture = random.integers(0, 160, (48, 48, 3))
            x, y = place + random.integers(-2, 3, 2).clip(-place.min(), None)
            picture[x : x + 20, y : y + 20] = colour
            Image.fromarray(picture.astype(np.uint8)).save(folder / f"class{label:02}/{number}.png")


def bier(source: Path, *words: str) -> float:
    """Run the program of a checkout; returns the CPU seconds that it took."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fingerprints(source: Path, pictures: Path, work: Path) -> dict[str, str]:
    found = {}
    for number, (name, settings) in enumerate(TRAININGS.items()):
        run = work / str(number)
        options = [part for setting in (*SMALL, *settings) for part in ("--set", setting)]
        bier(source, "-m", "bier.cli", "train", str(pictures), "--out", str(run), *options)
        found[name] = f"{weights(run / 'model.safetensors')} {figures(run / 'metrics.json')}"
    return found


def weights(file: Path) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(load_file(file).items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()[:16]


def figures(file: Path) -> str:
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]


def starting(source: Path, times: int = 7) -> str:
    commands = {"import bier": ("-c", "import bier"), "bier --help": ("-m", "bier.cli", "--help")}
    nothing = min(bier(source, "-c", "") for _ in range(times))
    return ", ".join(
        f"{name} {min(bier(source, *words) for _ in range(times)) - nothing:.2f} s" for name, words in commands.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="a commit, branch or tag to compare with")
    revision = parser.parse_args().against
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        draw_pictures(work / "pictures")
        here = fingerprints(ROOT, work / "pictures", work / "here")
        print(f"this checkout: {starting(ROOT)}")
        for name, value in here.items():
            print(f"  {value}  {name}")
        if revision is None:
            return
        other = work / "other"
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", str(other), revision], check=True
        )
        try:
            there = fingerprints(other, work / "pictures", work / "there")
            print(f"{revision}: {starting(other)}")
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(other)], check=True)
    differing = [name for name in here if here[name] != there[name]]
    print("\n".join(f"  differs: {name}" for name in differing) or "  every training gives the same, bit for bit")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
