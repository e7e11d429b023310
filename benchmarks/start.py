"""CPU time of `bier` from typing to answer: in the folder of an index, and at a running server.

    python benchmarks/start.py [--rounds 3] [--only folder]

An index of generated pictures is searched with an untrained model of the usual backbone. The files are in the system's
cache: each command runs once before it is measured. Printed is the least of the rounds. *All imported* loads at once
what packages import and a search does not use (see `bier.system.late`). *Ratio* compares with that.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import IndexInfo, create_index
from bier.vectors.encoder import Encoder

PICTURES = 100
BIER = [sys.executable, "-m", "bier.cli"]
EAGER = [sys.executable, "-c", "import sys, timm, lancedb; from bier.cli import main; main(sys.argv[1:])"]
"""The same, with all that timm and lancedb import, used or not."""


def make_index(root: Path) -> tuple[Path, Path]:
    """An index, and a picture to search with."""
    torch.manual_seed(0)
    backbone = create_backbone("efficientnet_lite0")
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (96, 160, 256)))
    save_model(root / "model.safetensors", model, {"size": 128, "fit": "crop"})
    encoder = Encoder.load(root / "model.safetensors")
    random, files = np.random.default_rng(0), []
    for number in range(PICTURES):
        files.append(root / f"{number}.jpg")
        Image.fromarray(random.integers(0, 256, (240, 320, 3), dtype=np.uint8)).save(files[-1])
    info = IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales, model_path=str(root / "model.safetensors"))
    with create_index(root / "index", info) as index:
        vectors = encoder.encode([encoder.prepare(file) for file in files]).numpy()
        index.add([file.name for file in files], vectors, [{"image": str(file), "label": None} for file in files])
    return root / "index", files[0]


@contextmanager
def served(index: Path) -> Iterator[str]:
    """The address of a server, as a process of its own."""
    command = [*BIER, "serve", str(index), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = next(match for line in process.stdout if (match := re.search(r"http://[\d.:]+", line)))
        try:
            yield found.group()
        finally:
            process.terminate()


def seconds(command: Sequence[str], rounds: int) -> float:
    """The least CPU time of a command, its children included."""
    spent = []
    for _ in range(rounds + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        spent.append(usage.ru_utime + usage.ru_stime)
    return min(spent[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("folder",), help="leave out the server")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index, query = make_index(Path(folder))
        commands = {
            "bier search FOLDER, all imported": [*EAGER, "search", str(index), str(query)],
            "bier search FOLDER": [*BIER, "search", str(index), str(query)],
        }
        found = {name: seconds(command, given.rounds) for name, command in commands.items()}
        if given.only is None:
            with served(index) as address:
                commands = {
                    "bier search http://...": [*BIER, "search", address, str(query)],
                    "bier search --help": [*BIER, "search", "--help"],
                }
                found |= {name: seconds(command, given.rounds) for name, command in commands.items()}
    base = next(iter(found.values()))
    print("| command | CPU, s | ratio |\n|---|---|---|")
    for name, spent in found.items():
        print(f"| `{name}` | {spent:.2f} | {spent / base:.2f} |")


if __name__ == "__main__":
    main()
