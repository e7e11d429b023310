"""What training from shards costs: opening the source, and reading its pictures in random order.

    python benchmarks/shards.py [--pictures 3000 30000] [--bytes 8000]

The same pictures lie as loose files in class folders, and in tar files of 1,000 with class folders inside. *Opening*
makes the table of a training: of loose files their names are listed, of tar files the headers are read. *Reading* gives
the bytes of 5,000 pictures in random order, undecoded. CPU time, the shorter of two; files are in the memory of the
system.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from sources import measure

from bier.data import Manifest, open_source
from bier.data.references import picture_bytes

IN_A_SHARD, IN_A_CLASS, READ = 1_000, 100, 5_000


def make(count: int, size: int, folder: Path) -> dict[str, Path]:
    """Loose files and tar files of the same random bytes, which are called JPEG."""
    random = np.random.default_rng(0)
    loose, shards = folder / f"loose-{count}", folder / f"shards-{count}"
    shards.mkdir()
    for first in range(0, count, IN_A_SHARD):
        with tarfile.open(shards / f"part-{first // IN_A_SHARD:05d}.tar", "w") as tar:
            for number in range(first, min(first + IN_A_SHARD, count)):
                name = f"class {number // IN_A_CLASS}/{number:07d}.jpg"
                data = random.bytes(size)
                (loose / name).parent.mkdir(parents=True, exist_ok=True)
                (loose / name).write_bytes(data)
                member = tarfile.TarInfo(name)
                member.size = size
                tar.addfile(member, io.BytesIO(data))
    return {"loose files": loose, "tar": shards}


def read(manifest: Manifest) -> None:
    for row in np.random.default_rng(1).integers(0, len(manifest), READ):
        picture_bytes(manifest.reference(int(row)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[3_000, 30_000])
    parser.add_argument("--bytes", type=int, default=8_000, help="of each picture")
    arguments = parser.parse_args()
    print("| pictures | source | opening, µs a picture | reading, µs a picture | reading / loose files |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.pictures:
            loose = 0.0
            for name, source in make(count, arguments.bytes, Path(folder)).items():
                opening = measure(lambda source=source: open_source(source)) / count * 1e6  # type: ignore[misc]
                manifest = open_source(source)
                reading = measure(lambda manifest=manifest: read(manifest)) / READ * 1e6  # type: ignore[misc]
                loose = loose or reading
                print(f"| {count:,} | {name} | {opening:.0f} | {reading:.0f} | {reading / loose:.2f} |", flush=True)


if __name__ == "__main__":
    main()
