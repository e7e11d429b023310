"""Pictures share threads and memory, whatever they announce."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from bier.data import formats
from bier.data.images import decode_cost
from bier.errors import ImageError
from bier.search import Index, open_index
from bier.serve.decoding import Decoder
from bier.serve.threads import Memory, Threads

Serve = Callable[..., httpx.Client]


def picture(width: int, height: int, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, kind)
    return buffer.getvalue()


def test_work_that_nobody_waits_for_keeps_its_thread() -> None:
    threads, free, begun = Threads("test", 1), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        free.wait(20)

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(threads.run(work), 0.2)
        assert begun.is_set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(threads.run(pytest.fail), 0.2)
        later = asyncio.ensure_future(threads.run(lambda: "done"))
        await asyncio.sleep(0.2)
        assert not later.done()
        free.set()
        assert await asyncio.wait_for(later, 10) == "done"

    asyncio.run(ask())


def test_memory_is_never_exceeded() -> None:
    memory, taken, most = Memory(100), 0, 0
    lock = threading.Lock()

    def work(size: int) -> None:
        nonlocal taken, most
        with memory.taking(size):
            with lock:
                taken += size
                most = max(most, taken)
            time.sleep(0.002)
            with lock:
                taken -= size

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, np.random.default_rng(0).integers(1, 101, 200).tolist()))
    assert taken == 0
    assert 50 < most <= 100


def test_pictures_wait_until_there_is_room() -> None:
    content = picture(2000, 1000)
    decoder, free, reading = Decoder(int(1.5 * decode_cost(content))), threading.Event(), []

    def hold(pixels: torch.Tensor) -> tuple[int, ...]:
        reading.append(1)
        free.wait(20)
        return tuple(pixels.shape)

    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(decoder.read, content, hold) for _ in range(2)]
        deadline = time.monotonic() + 20
        while not reading and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)
        assert len(reading) == 1
        free.set()
        assert [answer.result(20) for answer in answers] == [(3, 1000, 2000)] * 2
    with pytest.raises(ImageError, match=r"would take 0\.2 GB to decode, more than 0\.0 GB"):
        Decoder(10_000_000).read(picture(6000, 4000), hold, "a.jpg")


def test_an_upload_has_a_limit_of_pixels(serve: Serve) -> None:
    client = serve(pixels=1_000_000)
    assert client.get("/api/info").json()["limits"]["pixels"] == 1_000_000
    assert client.post("/api/embed", files={"picture": picture(1000, 1000)}).status_code == 200
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"):
        answer = client.post("/api/embed", files={"picture": ("a.jpg", picture(1001, 1000, kind))})
        assert answer.status_code == 422, kind
        assert "a.jpg: 1001 x 1000 pixels" in answer.json()["error"]
        assert "smaller" in answer.json()["remedy"]


def test_thumbnails_share_the_memory(serve: Serve, fill: Callable[..., Index], tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(picture(3000, 2000))
    fill(tmp_path / "index", [tmp_path / "large.jpg"]).close()
    small, large = (serve(index=open_index(tmp_path / "index"), decoding=most) for most in (20_000_000, 500_000_000))
    asked = {"id": f"{tmp_path.name}/large.jpg"}
    assert large.get("/api/thumbnail", params=asked).status_code == 200
    refused = small.get("/api/thumbnail", params=asked)
    assert refused.status_code == 404
    assert "to decode" in refused.json()["error"]


def test_an_upload_that_needs_an_extra_names_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    content = picture(300, 200, "HEIF")
    client = serve()
    assert client.post("/api/embed", files={"picture": ("phone.jpg", content)}).status_code == 200
    monkeypatch.setattr(formats, "_PLUGINS", {"HEIC": "not_installed"})
    formats.kind_is_readable.cache_clear()
    refused = client.post("/api/embed", files={"picture": ("phone.jpg", content)})
    monkeypatch.undo()
    formats.kind_is_readable.cache_clear()
    assert refused.status_code == 422
    assert "phone.jpg" in refused.json()["error"]
    assert "bier-dml[formats]" in refused.json()["remedy"]
