"""`bier serve` over many pictures: until it is ready, and what each kind of request takes, over HTTP.

    OMP_NUM_THREADS=1 python benchmarks/serving_many.py --folder FOLDER [--counts 10000 1000000] [--staged]

The indexes are those of benchmarks/scale.py, drawn, with an untrained model of the same learners. The server is a
process of its own. Times are CPU time of that process in milliseconds, and in brackets what a client waits, which a
busy machine makes longer. *First* is the first request of its kind after the start; the others are means of twenty.
The page is asked for as a browser does.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch
from scale import CLASSES, SCALES, SIZES, portions

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import IndexInfo, create_index
from bier.search.approximate import ApproximateIndex
from bier.vectors.encoder import Encoder

TIMES = 20
_TICK = os.sysconf("SC_CLK_TCK")
Ask = Callable[[int], Any]


@dataclass(frozen=True)
class Taken:
    """Seconds of the server's processor, and of the client's clock."""

    processor: float
    clock: float

    def milliseconds(self) -> str:
        return f"{1000 * self.processor:,.0f} ({1000 * self.clock:,.0f})"


def make_index(folder: Path, count: int) -> Path:
    model, index = folder / "model.safetensors", folder / f"index-{count}"
    if not model.exists():
        torch.manual_seed(0)
        backbone = create_backbone("efficientnet_lite0")
        save_model(
            model, RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, SIZES)), {"size": 96, "fit": "crop"}
        )
    if not (index / "index.json").exists():
        info = IndexInfo(Encoder.load(model).fingerprint, SIZES, SCALES, model_path=str(model))
        with create_index(index, info) as opened:
            for portion in portions(count):
                opened.add(*portion)
            opened.flush()
            assert isinstance(opened, ApproximateIndex)
            opened.tune(tell=print)
    return index


@dataclass(frozen=True)
class Served:
    """A running server."""

    process: subprocess.Popen[str]
    client: httpx.Client
    ready: Taken

    def processor(self) -> float:
        """Seconds that it has computed."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def taken(self, ask: Ask, requests: range, *, missing: bool = False) -> Taken:
        """Of one request, the mean of several; those for ``missing`` pictures say so."""
        processor, clock = self.processor(), time.monotonic()
        for number in requests:
            answer = ask(number)
            assert answer.status_code == (404 if missing else 200), answer.text
        return Taken((self.processor() - processor) / len(requests), (time.monotonic() - clock) / len(requests))

    def memory(self) -> float:
        """Gigabytes at most so far."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) / 1e6


@contextmanager
def serving(index: Path, options: list[str]) -> Iterator[Served]:
    command = [sys.executable, "-m", "bier.cli", "serve", str(index), "--port", "0", *options]
    environment = {key: value for key, value in os.environ.items() if key != "BIER_TOKEN"}
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
        assert found, "the server does not start"
        with httpx.Client(base_url=found[0], timeout=120, trust_env=False) as client:
            client.get("/ready").raise_for_status()
            clock = time.monotonic() - started
            served = Served(process, client, Taken(0, clock))
            yield Served(process, client, Taken(served.processor(), clock))
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def _importing() -> float:
    """Seconds of a processor, for what any program with torch needs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(index: Path, count: int, options: list[str]) -> dict[str, str]:
    with serving(index, options) as served:
        client = served.client

        def search(number: int, **more: Any) -> httpx.Response:
            name = f"{number * 997 % count:09d}"
            return client.post("/api/search", json={"ids": [name], "top": 24, **more})

        def listing(**where: str) -> Ask:
            return lambda number: client.get("/api/pictures", params={"limit": "60", **where})

        def one(number: int) -> httpx.Response:
            return client.get("/api/pictures", params={"limit": 60, "where": f'{{"label": "class {number}"}}'})

        shown = [hit["id"] for hit in search(0).json()["hits"]]
        half = "[" + ", ".join(f'"class {number}"' for number in range(CLASSES // 2)) + "]"
        found = {
            "ready": served.ready.milliseconds(),
            "of that, importing torch": f"{1000 * _importing():,.0f}",
            "the page's first questions": served.taken(lambda n: client.get("/api/info"), range(1)).milliseconds(),
            "first search by id": served.taken(search, range(1)).milliseconds(),
            "search by id": served.taken(search, range(1, TIMES + 1)).milliseconds(),
            "search within 0.5 %": served.taken(
                lambda n: search(n, where={"label": f"class {n}"}), range(TIMES)
            ).milliseconds(),
            "thumbnail of a result": served.taken(
                lambda n: client.get("/api/thumbnail", params={"id": shown[n]}), range(len(shown)), missing=True
            ).milliseconds(),
            "first listing": served.taken(listing(), range(1)).milliseconds(),
            "listing, further on": served.taken(
                lambda n: client.get("/api/pictures", params={"limit": 60, "offset": 60 * n}), range(TIMES)
            ).milliseconds(),
            "first listing of 0.5 %": served.taken(one, range(1)).milliseconds(),
            "listings of others of 0.5 %": served.taken(one, range(1, TIMES + 1)).milliseconds(),
            "first listing of 50 %": served.taken(listing(where=f'{{"label": {half}}}'), range(1)).milliseconds(),
        }
        values = {"field": "label", "part": "1", "limit": "20"}
        typed = served.taken(lambda n: client.get("/api/values", params=values), range(1))
        found["first values of a field"] = typed.milliseconds()
        again = served.taken(lambda n: client.get("/api/values", params={**values, "part": str(n)}), range(TIMES))
        found["values of a field"] = again.milliseconds()
        found["most memory, GB"] = f"{served.memory():.2f}"
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the model and indexes; kept, and used again")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--staged", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    options = ["--staged"] if arguments.staged else []
    columns = [measured(make_index(arguments.folder, count), count, options) for count in arguments.counts]
    print(f"| milliseconds | {' | '.join(f'{count:,}' for count in arguments.counts)} |\n|---|{'---|' * len(columns)}")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


if __name__ == "__main__":
    main()
