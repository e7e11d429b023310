"""Are near-copies found? Some are planted among photographs; and what does the search cost?

    python recipes/copies.py DATA [--pictures 2000] [--seed 0]
    python recipes/copies.py --cost 10000 100000

DATA is any source, such as ../shared/data/cub100. Fifty exact copies are planted, and fifty that are encoded again at
60 % of the size, cropped to 70..90 % of each side, or mirrored. It prints how many are found, and names every other
pair: photographs may have copies of their own. ``--cost`` compares drawn vectors of 512 dimensions and no pictures.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bier.data import Manifest, open_source
from bier.runs.near import near_copies
from bier.settings.schema import Config
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console
from bier.vectors.near import VectorFile, nearest_pairs

EXACT = OTHERS = 50
KINDS = ("exact", "encoded again", "cropped", "mirrored")
CONFIG = Config().replace(image__size=128, data__workers=1, hardware__threads=1)


def copy_of(original: Path, kind: str, random: np.random.Generator, out: Path) -> None:
    """Write a copy of one of the `KINDS`."""
    if kind == "exact":
        out.write_bytes(original.read_bytes())
        return
    with Image.open(original) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    if kind == "encoded again":
        image.resize((round(0.6 * width), round(0.6 * height)), Image.Resampling.LANCZOS).save(out, quality=40)
    elif kind == "mirrored":
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(out, quality=85)
    else:
        share = random.uniform(0.7, 0.9)
        wide, high = round(share * width), round(share * height)
        x, y = int(random.integers(0, width - wide + 1)), int(random.integers(0, height - high + 1))
        image.crop((x, y, x + wide, y + high)).save(out, quality=90)


def planted(data: str, pictures: int, seed: int, folder: Path) -> tuple[Manifest, dict[int, tuple[int, str]]]:
    """Some pictures with copies behind them; for each copy's row, the original's and the kind."""
    random = np.random.default_rng(seed)
    whole = open_source(data)
    drawn = np.sort(random.permutation(len(whole))[:pictures])
    paths = [whole.path(int(row)) for row in drawn]
    copies = {}
    for number, row in enumerate(random.choice(len(drawn), EXACT + OTHERS, replace=False).tolist()):
        kind = KINDS[0] if number < EXACT else KINDS[1 + number % 3]
        file = folder / f"{number}.jpg"
        copy_of(paths[row], kind, random, file)
        copies[len(paths)] = (row, kind)
        paths.append(file)
    names = [str(path.absolute()) for path in paths]
    return Manifest.of(Path("/"), data, image=names, label=["?"] * len(names)), copies


def print_found(data: str, pictures: int, seed: int) -> None:
    """How many of each kind are found, and what else is."""
    with tempfile.TemporaryDirectory() as folder:
        manifest, copies = planted(data, pictures, seed, Path(folder))
        began = time.perf_counter()
        pairs = [{copy.keep, copy.other} for copy in near_copies(manifest, CONFIG, plain_console(quiet=True)).removable]
        seconds = time.perf_counter() - began
    right = [kind for row, (original, kind) in copies.items() if {row, original} in pairs]
    wanted = [{row, original} for row, (original, _) in copies.items()]
    others = [sorted(pair) for pair in pairs if pair not in wanted]
    print("| copies | planted | found |\n|---|---|---|")
    for kind in KINDS:
        print(f"| {kind} | {sum(each == kind for _, each in copies.values())} | {right.count(kind)} |")
    print(f"\n{len(others)} other pairs among {len(manifest):,} pictures; {seconds:.0f} s")
    for one, other in others:
        print(f"  {manifest.image[one]} {manifest.image[other]}")


def print_cost(counts: list[int]) -> None:
    """Seconds and the peak of memory of comparing all vectors with all."""
    print("| vectors | seconds | peak memory, MB |\n|---|---|---|")
    for count in counts:
        random, began = np.random.default_rng(0), time.perf_counter()
        with VectorFile() as vectors:
            for _ in range(count // 1000):
                vectors.append(random.standard_normal((1000, 512), dtype=np.float32))
            nearest_pairs(vectors, 0.5, 4)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {count:,} | {time.perf_counter() - began:.1f} | {peak:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cost", type=int, nargs="+", default=[])
    given = parser.parse_args()
    keep_freed_memory()
    if given.cost:
        print_cost(given.cost)
    if given.data is not None:
        print_found(given.data, given.pictures, given.seed)


if __name__ == "__main__":
    main()
