"""`bier serve` under slow clients, bombs and overload: what others notice, and the server's peak memory.

    python benchmarks/serving.py [CASE ...]

An index of generated pictures is served by a process of its own, with an untrained model and `--queue 8`, for each
case anew. *Peak* is the process's largest resident memory during the case, *idle* before it. `/health` is asked all
the while, and *slowest* is its longest answer.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from PIL import Image

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import IndexInfo, create_index
from bier.vectors.encoder import Encoder

QUEUE = 8
BOUNDARY = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n'


@dataclass
class Served:
    """A running server, asked for its health all the while."""

    process: subprocess.Popen[str]
    port: int
    waits: list[float] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, timeout: float = 60) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=timeout, trust_env=False)

    def memory(self, which: str) -> float:
        """Megabytes: `VmRSS` now, `VmHWM` at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{which}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1000

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def connect(self, content: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), 20)
        connection.sendall(content)
        return connection

    def watch(self) -> None:
        while not self.done.wait(0.1):
            started = time.monotonic()
            with self.client() as client:
                try:
                    client.get("/health")
                except httpx.HTTPError:
                    if self.done.is_set():
                        return
            self.waits.append(time.monotonic() - started)


Case = Callable[[Served], str]


def half_headers(served: Served) -> str:
    """A thousand connections with half a header."""
    sockets = [served.connect(b"GET /health HTTP/1.1\r\nHost: a") for _ in range(1000)]
    started = time.monotonic()
    time.sleep(3)
    with served.client() as client:
        answered = client.get("/health").status_code
    while time.monotonic() - started < 20 and any(map(_is_open, sockets)):
        time.sleep(0.5)
    left = sum(map(_is_open, sockets))
    return f"meanwhile {answered}; {left} still there after {time.monotonic() - started:.0f} s"


def slow_uploads(served: Served) -> str:
    """Uploads at a byte a second, as many as the queue has places."""
    head = f"POST /api/embed HTTP/1.1\r\nHost: a\r\nContent-Type: {BOUNDARY}\r\nContent-Length: 100000\r\n\r\n"
    sockets = [served.connect(head.encode() + PART) for _ in range(QUEUE)]
    started, statuses = time.monotonic(), Counter[int]()
    with served.client() as client:
        while time.monotonic() - started < 15:
            statuses[client.post("/api/embed", files={"picture": _photograph(0)}).status_code] += 1
            for connection in sockets:
                _trickle(connection)
            time.sleep(1)
    return f"others: {_counted(statuses)}; {sum(map(_is_open, sockets))} of {QUEUE} still there after 15 s"


def json_bodies(served: Served) -> str:
    """Twenty clients with 0.9 and 1.8 MB of JSON full of faults."""
    bodies = [b'{"vectors": [[' + b",".join([b'"a"'] * count) + b"]]}" for count in (225_000, 450_000)]

    def ask(turn: int) -> int:
        headers = {"Content-Type": "application/json"}
        return _status(served, "/api/search", content=bodies[turn % 2], headers=headers)

    with ThreadPoolExecutor(20) as threads:
        return _counted(Counter(threads.map(ask, range(20))))


def bombs(served: Served) -> str:
    """Small files that announce up to a hundred million pixels, eight at once."""
    kinds = [_png(1, 99_000_000, 8, 2), _png(9_900, 10_000, 8, 2), _png(7_000, 7_000, 16, 6), _gif(9_900, 10_000)]

    def ask(turn: int) -> int:
        return _status(served, "/api/embed", files={"picture": kinds[turn % len(kinds)]})

    with ThreadPoolExecutor(8) as threads:
        statuses = Counter(threads.map(ask, range(24)))
    time.sleep(2)  # threads that nobody waits for any more
    return _counted(statuses)


def honest_giants(served: Served) -> str:
    """JPEGs of 24 megapixels, eight at once."""
    content = _jpeg(np.random.default_rng(0).integers(0, 255, (4000, 6000, 3), np.uint8) // 8)

    def ask(turn: int) -> int:
        return _status(served, "/api/embed", files={"picture": content})

    with ThreadPoolExecutor(8) as threads:
        return _counted(Counter(threads.map(ask, range(16))))


def overload(served: Served) -> str:
    """Five times as many uploads at once as the queue has places."""
    statuses = _overloaded(served, 200)
    started = time.monotonic()
    with served.client() as client:
        client.post("/api/embed", files={"picture": _photograph(1)})
    return f"{_counted(statuses)}; {time.monotonic() - started:.2f} s for one afterwards"


def stop(served: Served) -> str:
    """SIGTERM under full load, beside slow clients and those that never read their answer."""
    slow = [served.connect(b"GET /health HTTP/1.1\r\nHost: a") for _ in range(20)]
    head = f"POST /api/embed HTTP/1.1\r\nHost: a\r\nContent-Type: {BOUNDARY}\r\nContent-Length: 100000\r\n\r\n"
    slow += [served.connect(head.encode() + PART) for _ in range(3)]
    asking = b"GET /api/pictures?limit=500 HTTP/1.1\r\nHost: a\r\n\r\n"
    slow += [served.connect(asking * 100) for _ in range(5)]
    with ThreadPoolExecutor(1) as threads:
        load = threads.submit(_overloaded, served, 40)
        with served.client() as client:
            while not re.search(r"^bier_uploads [1-9]", client.get("/metrics").text, re.M) and not load.done():
                time.sleep(0.01)
        served.done.set()
        started = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        status = served.process.wait(120)
        seconds = time.monotonic() - started
        return f"{seconds:.1f} s, exit status {status}; {_counted(load.result())}"


CASES: dict[str, Case] = {
    case.__name__: case for case in (half_headers, slow_uploads, json_bodies, bombs, honest_giants, overload, stop)
}


def _status(served: Served, path: str, **content: Any) -> int:
    """Of the answer; 0 where there was none, or none within a minute."""
    try:
        with served.client() as client:
            return client.post(path, **content).status_code
    except httpx.HTTPError:
        return 0


def _overloaded(served: Served, requests: int) -> Counter[int]:

    def ask(turn: int) -> int:
        return _status(served, "/api/embed", files={"picture": photographs[turn % len(photographs)]})

    photographs = [_photograph(seed) for seed in range(5)]

    with ThreadPoolExecutor(5 * QUEUE) as threads:
        return Counter(threads.map(ask, range(requests)))


def _trickle(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.send(b"x")


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has not ended it."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _counted(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status or 'no answer'}" for status, count in sorted(statuses.items()))


def _photograph(seed: int) -> bytes:
    return _jpeg(np.random.default_rng(seed).integers(0, 255, (700, 900, 3), np.uint8))


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _png(width: int, height: int, bits: int, kind: int) -> bytes:
    """One colour; only its first rows are there."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(4_000_000)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


def _gif(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00;"


def make_index(folder: Path) -> Path:
    backbone = create_backbone("efficientnet_lite0")
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (32, 32, 64)))
    save_model(folder / "model.safetensors", model, {"size": 224, "fit": "crop"})
    encoder = Encoder.load(folder / "model.safetensors")
    info = IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales, model_path=str(folder / "model.safetensors"))
    with create_index(folder / "index", info) as index:
        for n in range(20):
            (folder / f"{n}.jpg").write_bytes(_photograph(n))
        pictures = [folder / f"{n}.jpg" for n in range(20)]
        vectors = encoder.encode([encoder.prepare(picture) for picture in pictures]).numpy()
        for copy in range(25):
            metadata = [{"image": str(picture), "label": f"class {copy}"} for picture in pictures]
            index.add([f"{copy}/{picture.name}" for picture in pictures], vectors, metadata)
    return folder / "index"


@contextmanager
def serving(index: Path) -> Iterator[Served]:
    command = [sys.executable, "-m", "bier.cli", "serve", str(index), "--port", "0", "--queue", str(QUEUE)]
    environment = {key: value for key, value in os.environ.items() if key != "BIER_TOKEN"}
    # Connections without a name of this machine are refused, and the cases do not care for names.
    command += ["--allow-anonymous"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    found = re.search(r"http://[\d.]+:(\d+)", process.stdout.readline())
    assert found, "the server does not start"
    served = Served(process, int(found[1]))
    watching = threading.Thread(target=served.watch)
    try:
        with served.client() as client:
            client.post("/api/embed", files={"picture": _photograph(0)})
        watching.start()
        yield served
    finally:
        served.done.set()
        watching.join()
        process.kill()
        process.wait(10)
        process.stdout.close()


def measured(index: Path, case: Case) -> str:
    with serving(index) as served:
        idle = served.memory("VmRSS")
        served.forget_peak()
        peaks = [idle]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                try:
                    peaks.append(served.memory("VmHWM"))
                except (OSError, AssertionError):  # it has stopped
                    return

        watching = threading.Thread(target=watch)
        watching.start()
        result = case(served)
        ended.set()
        watching.join()
        slowest = max(served.waits, default=0)
        return f"| {case.__name__} | {result} | {slowest:.2f} s | {idle:.0f} MB | {max(peaks):.0f} MB |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        index = make_index(Path(folder))
        print("| case | what others get | slowest /health | idle | peak |\n|---|---|---|---|---|")
        for name in arguments.cases or CASES:
            print(measured(index, CASES[name]), flush=True)


if __name__ == "__main__":
    main()
