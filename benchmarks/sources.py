"""Cost of opening large sources: a CSV file, and a catalogue of files.

    python benchmarks/sources.py [--rows 100000 1000000] [--files 10000 30000]

*CSV*: the reader of plain files beside the careful one, which reads the same table with a quoted header. *Catalogue*:
`open_catalogue` beside the least that it can do, a list of the folders and one look at each file. CPU time, the shorter
of two, both ways in one run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute  # loaded before the clock runs
import pyarrow.csv  # noqa: F401

from bier.data import open_source
from bier.vectors.sources import open_catalogue


def measure(work: Callable[[], object]) -> float:
    times = []
    for _ in range(2):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def csv(rows: int, folder: Path) -> tuple[float, float]:
    lines = "".join(f"photographs/{row % 10_000:05d}/{row:07d}.jpg,class {row % 10_000}\n" for row in range(rows))
    plain, quoted = folder / "plain.csv", folder / "quoted.csv"
    plain.write_text(f"image,label\n{lines}")
    quoted.write_text(f'"image",label\n{lines}')
    return measure(lambda: open_source(quoted)), measure(lambda: open_source(plain))


def look(folder: str) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir():
            look(entry.path)
        else:
            os.stat(entry.path)


def catalogue(files: int, folder: Path) -> tuple[float, float]:
    root = folder / f"photographs-{files}"
    for number in range(files):
        place = root / f"class {number // 100}"
        if number % 100 == 0:
            place.mkdir(parents=True)
        (place / f"{number:07d}.jpg").touch()
    return measure(lambda: look(str(root))), measure(lambda: open_catalogue(root))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 30_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("| rows of a CSV file | careful | plain | plain / careful |")
        print("|---|---|---|---|")
        for count in arguments.rows:
            careful, plain = csv(count, Path(folder))
            print(f"| {count:,} | {careful:.2f} s | {plain:.2f} s | {plain / careful:.2f} |", flush=True)
        print("\n| files of a catalogue | one look at each | open_catalogue | open_catalogue / one look |")
        print("|---|---|---|---|")
        for count in arguments.files:
            least, opened = catalogue(count, Path(folder))
            print(f"| {count:,} | {least:.2f} s | {opened:.2f} s | {opened / least:.1f} |", flush=True)


if __name__ == "__main__":
    main()
