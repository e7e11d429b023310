"""``bier serve`` as a process: it listens, refuses what is unsafe, and stops gently."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import torch
from PIL import Image
from servers import serving

from bier.cli import main
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import IndexInfo, create_index
from bier.vectors.encoder import Encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Path:
    """An index of four photographs beside its model and another."""
    root = tmp_path_factory.mktemp("serve")
    for seed, name in enumerate(("model", "other")):
        torch.manual_seed(seed)
        backbone = create_backbone("efficientnet_lite0")
        model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (8, 16)))
        save_model(root / f"{name}.safetensors", model, {"size": 64, "fit": "crop"})
    encoder = Encoder.load(root / "model.safetensors")
    pictures = sorted((photographs / "cars196" / "images").rglob("*.jpg"))[:4]
    info = IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales, model_path=str(root / "model.safetensors"))
    with create_index(root / "index", info, "exact") as index:
        vectors = encoder.encode([encoder.prepare(picture) for picture in pictures]).numpy()
        index.add([p.name for p in pictures], vectors, [{"image": str(p), "label": None} for p in pictures])
    return root


@pytest.fixture
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address; a parameter gives it more options."""
    with serving(folder / "index", *getattr(request, "param", [])) as started:
        yield started


def test_missing_packages_are_named() -> None:
    program = "import sys; sys.modules['uvicorn'] = None; from bier.cli import main; main(['serve', 'index'])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 2
    assert "bier-dml[serve]" in run.stderr and "Traceback" not in run.stderr


def test_it_serves_and_finishes_what_is_in_flight(server: tuple[subprocess.Popen[str], str], folder: Path) -> None:
    process, address = server
    picture = folder / "large.png"
    Image.effect_noise((2500, 2500), 80).save(picture)  # takes a while to decode
    answers: list[int] = []
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        assert client.get("/ready").status_code == 200

        def ask() -> None:
            answers.append(client.post("/api/embed", files={"picture": picture.read_bytes()}).status_code)

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        deadline = time.monotonic() + 60
        while "bier_uploads 3.0" not in client.get("/metrics").text and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for thread in asking:
            thread.join(60)
    assert answers == [200, 200, 200]
    assert process.wait(30) == 0
    assert process.stdout is not None
    assert process.stdout.read().rstrip().endswith("stopped")
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, trust_env=False)


@pytest.mark.slow
@pytest.mark.parametrize("server", [["--timeout", "8"]], indirect=True)
def test_a_stop_takes_no_longer_than_a_request_may(server: tuple[subprocess.Popen[str], str], folder: Path) -> None:
    """Beside full load: half a header, an upload at a byte a second, and answers that nobody takes."""
    process, address = server
    port, picture = int(address.rsplit(":", 1)[1]), folder / "noise.png"
    Image.effect_noise((1000, 1000), 80).save(picture)
    length = f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {10**6}\r\n\r\n--x"
    contents = [
        "GET /health HTTP/1.1\r\nHost: local",
        "POST /api/embed HTTP/1.1\r\nHost: localhost\r\n" + length,
        "GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000,
    ]
    answers: list[int] = []
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client, ExitStack() as slow:

        def ask() -> None:
            answers.append(client.post("/api/embed", files={"picture": picture.read_bytes()}).status_code)

        connections = [slow.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in contents]
        for connection, content in zip(connections, contents, strict=True):
            connection.sendall(content.encode())
        asking = [threading.Thread(target=ask) for _ in range(6)]
        for thread in asking:
            thread.start()
        deadline = time.monotonic() + 60
        while "bier_uploads 6.0" not in client.get("/metrics").text and not answers and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - started < 8 + 3, "and a little for the process itself"
        for thread in asking:
            thread.join(60)
    assert answers == [200] * 6


def message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", *arguments])
    out, error = capsys.readouterr()
    assert stopped.value.code == 2
    error = "".join(line for line in error.splitlines(True) if not line.endswith(" ...\n"))  # what it waited for
    assert error.startswith("error: ")
    assert "Traceback" not in error + out
    return error


def test_mistakes_get_one_message(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIER_TOKEN", raising=False)
    index = str(folder / "index")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = message([index, "--port", str(port)], capsys)
        assert "taken" in error
        assert f"--port {port + 1}" in error
    error = message([index, "--port", "0", "--model", str(folder / "other.safetensors")], capsys)
    assert "not of this one" in error
    assert "gone.safetensors" in message([index, "--port", "0", "--model", str(tmp_path / "gone.safetensors")], capsys)
    uploads = ["--keep-uploads", str(folder / "model.safetensors")]
    assert "model.safetensors: uploads cannot be kept there" in message([index, "--port", "0", *uploads], capsys)
    assert "is of searches in stages" in message([index, "--port", "0", "--recall", "0.9"], capsys)
    assert "limits kept uploads" in message([index, "--port", "0", "--keep-uploads-limit", "5"], capsys)
    assert "is no index" in message([str(tmp_path), "--port", "0"], capsys)
    assert "BIER_TOKEN" in message([index, "--port", "0", "--host", "0.0.0.0"], capsys)
    assert "no such address" in message([index, "--port", "0", "--host", "no.such.host.invalid"], capsys)
    assert "70000" in message([index, "--port", "70000"], capsys)
    backbone = create_backbone("efficientnet_lite0")
    single = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (8,)))
    save_model(tmp_path / "single.safetensors", single, {"size": 64, "fit": "crop"})
    encoder = Encoder.load(tmp_path / "single.safetensors")
    create_index(tmp_path / "single", IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales), "exact").close()
    with_model = ["--model", str(tmp_path / "single.safetensors")]
    assert "one learner only" in message([str(tmp_path / "single"), "--port", "0", "--staged", *with_model], capsys)
    monkeypatch.setenv("BIER_TOKEN", "")
    assert "BIER_TOKEN" in message([index, "--port", "0"], capsys)
