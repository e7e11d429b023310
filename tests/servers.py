"""Real servers: ours in a thread of the test or as a process, and how to start that of Milvus."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bier.search import Index
from bier.serve import Follow, ServeSettings, create_app
from bier.serve.server import Server, listen
from bier.vectors.encoder import PictureEncoder


@contextmanager
def served(
    index: Index, encoder: PictureEncoder, settings: ServeSettings, follow: Follow | None = None
) -> Iterator[str]:
    """The address of a uvicorn that runs meanwhile."""
    listening = threading.Event()
    server = Server(create_app(index, encoder, settings, follow), settings, listening.set)
    bound = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert listening.wait(30)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of ``bier serve``, and its address."""
    command = [sys.executable, "-m", "bier.cli", "serve", str(folder), "--port", "0", *options]
    environment = {key: value for key, value in os.environ.items() if key != "BIER_TOKEN"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    while lines[-1].endswith("...\n"):  # opening the index, loading the model
        lines.append(process.stdout.readline())
    match = re.search(r"http://[\d.:]+", lines[-1])
    assert match, "".join(lines) + process.stdout.read()
    try:
        yield process, match[0]
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@contextmanager
def quietly() -> Iterator[None]:
    """Start a server of Milvus, whose script leaves sockets and files to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()
