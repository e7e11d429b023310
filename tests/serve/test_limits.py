"""Hostile pictures, too much of everything, and people without a token."""

from __future__ import annotations

import io
import struct
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from bier.data.references import tar_uri
from bier.search import Index
from bier.serve import ServeSettings
from bier.serve.batching import Batches
from bier.serve.decoding import Decoder
from bier.serve.thumbnails import Thumbnails, thumbnail
from bier.vectors.encoder import Encoder

Serve = Callable[..., httpx.Client]


def bomb(width: int, height: int, rows: int) -> bytes:
    """A PNG of one colour that says it has width x height pixels and holds `rows` rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(bytes(rows * (3 * width + 1))))
        + chunk(b"IEND", b"")
    )


def test_hostile_pictures_are_named_and_spoil_nothing(serve: Serve, cars: list[Path]) -> None:
    client, good = serve(), cars[0].read_bytes()
    hostile = {
        "bomb.png": (bomb(60_000, 60_000, 1), "pixels"),
        "large.png": (bomb(5001, 5000, 10), "5001 x 5000 pixels are more than the limit of 25,000,000"),
        "truncated.png": (bomb(500, 500, 500)[:60], "damaged"),
        "cut.jpg": (good[: len(good) // 2], "damaged"),
        "svg.jpg": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "SVG"),
        "html.jpg": (b"<!doctype html><script>alert(1)</script>", "markup"),
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"just some words", "not a picture"),
        "../../etc/<b>.jpg": (b"%!PS-Adobe-3.0\n(x) run", "not a picture"),
    }
    for name, (content, reason) in hostile.items():
        for path in ("/api/embed", "/api/search/pictures"):
            answer = client.post(path, files={"picture": (name, content, "image/jpeg")})
            assert answer.status_code == 422, name
            assert reason in answer.json()["error"], name
            assert Path(name).name in answer.json()["error"]
            assert answer.headers["content-type"] == "application/json"
    both = client.post("/api/search/pictures", files=[("picture", good), ("picture", b"bad")])
    assert both.status_code == 422
    assert client.post("/api/embed", files={"picture": good}).status_code == 200


def test_a_body_beyond_the_limit(serve: Serve, cars: list[Path]) -> None:
    client = serve(body=300_000)
    assert client.post("/api/embed", files={"picture": cars[0].read_bytes()}).status_code == 200
    announced = client.post("/api/embed", files={"picture": bytes(400_000)})

    def pieces() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n'
        yield from (bytes(50_000) for _ in range(10))

    unannounced = client.post(
        "/api/embed", content=pieces(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    words = client.post("/api/search", content=b" " * 400_000, headers={"Content-Type": "application/json"})
    for answer in (announced, unannounced, words):
        assert answer.status_code == 413
        assert "0.3 MB" in answer.json()["error"]
    assert client.get("/api/info").status_code == 200


@dataclass(frozen=True, eq=False)
class HeldEncoder(Encoder):
    """The model, which waits for a signal before each batch."""

    free: threading.Event = field(default_factory=threading.Event)

    def encode(self, images: Any, *more: Any, **options: Any) -> torch.Tensor:
        self.free.wait(20)
        return super().encode(images, *more, **options)


@contextmanager
def held(encoder: Encoder) -> Iterator[HeldEncoder]:
    slow = HeldEncoder(**{part.name: getattr(encoder, part.name) for part in fields(encoder)})
    try:
        yield slow
    finally:
        slow.free.set()


def test_a_full_queue_says_when_to_come_back(serve: Serve, encoder: Encoder, cars: list[Path]) -> None:
    with held(encoder) as slow, ThreadPoolExecutor(4) as threads:
        client = serve(encoder=slow, queue=4)
        upload = {"picture": cars[0].read_bytes()}
        waiting = [threads.submit(client.post, "/api/embed", files=upload) for _ in range(4)]
        deadline = time.monotonic() + 30
        while "bier_uploads 4.0" not in client.get("/metrics").text and time.monotonic() < deadline:
            time.sleep(0.02)
        refused = client.post("/api/embed", files=upload)
        assert refused.status_code == 429
        shouted = {"content-type": "Multipart/Form-Data; boundary=x"}
        assert client.post("/api/embed", content=b"--x--", headers=shouted).status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert client.get("/api/info").status_code == 200, "only uploads wait"
        slow.free.set()
        assert [answer.result().status_code for answer in waiting] == [200] * 4
        assert client.post("/api/embed", files=upload).status_code == 200


def test_a_request_beyond_its_time(serve: Serve, encoder: Encoder, cars: list[Path]) -> None:
    with held(encoder) as slow:
        client = serve(encoder=slow, seconds=3)
        started = time.monotonic()
        answer = client.post("/api/embed", files={"picture": cars[0].read_bytes()})
        assert answer.status_code == 504
        assert time.monotonic() - started < 10
        slow.free.set()
        statuses = [504]
        while statuses[-1] == 504 and time.monotonic() - started < 60:  # a busy machine may need more than once
            statuses.append(client.post("/api/embed", files={"picture": cars[1].read_bytes()}).status_code)
        assert statuses[-1] == 200


def test_nothing_without_the_token(serve: Serve, cars: list[Path]) -> None:
    client = serve(token="open sesame")
    for path in ("/api/info", "/api/pictures", "/api/thumbnail?id=x", "/api/marks.csv", "/metrics"):
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open sesame"}):
            assert client.get(path, headers=header).status_code == 401, path
    answer = client.post("/api/embed", files={"picture": cars[0].read_bytes()})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/api/info", headers={"Authorization": "Bearer open sesame"}).status_code == 200
    assert client.get("/health").status_code == client.get("/").status_code == 200


def test_other_sites_cannot_use_a_visitors_browser(serve: Serve, cars: list[Path], tmp_path: Path) -> None:
    client = serve(hosts=("127.0.0.1", "localhost"), marks=tmp_path / "marks.jsonl")
    for host in ("evil.example", "evil.example:80", "[::", "127.0.0.1.evil.example"):
        assert client.get("/api/info", headers={"Host": host}).status_code == 421, host
    assert client.get("/api/info", headers={"Host": "localhost:8000"}).status_code == 200
    pair = {"query": f"{cars[0].parent.name}/{cars[0].name}", "result": f"{cars[1].parent.name}/{cars[1].name}"}
    content = {"marks": [{**pair, "verdict": "good"}]}
    assert client.post("/api/marks", json=content, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert not (tmp_path / "marks.jsonl").exists()
    assert client.post("/api/marks", json=content).status_code == 200


def test_an_engine_that_goes_away(serve: Serve, fill: Callable[..., Index], cars: list[Path], tmp_path: Path) -> None:
    index = fill(tmp_path / "index", cars[:6])
    client, query = serve(index=index), {"ids": [f"{cars[0].parent.name}/{cars[0].name}"]}
    assert client.post("/api/search", json=query).status_code == 200
    log = tmp_path / "index" / "rows.log"
    log.rename(tmp_path / "elsewhere")
    for answer in (client.post("/api/search", json=query), client.get("/ready"), client.get("/api/pictures")):
        assert answer.status_code == 503, answer.text
        assert "search engine" in answer.json()["error"]
    (tmp_path / "elsewhere").rename(log)
    assert client.post("/api/search", json=query).status_code == 200


def test_a_full_disk_loses_no_mark(serve: Serve, cars: list[Path]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    client = serve(marks=Path("/dev/full"))
    pair = {"query": f"{cars[0].parent.name}/{cars[0].name}", "result": f"{cars[1].parent.name}/{cars[1].name}"}
    answer = client.post("/api/marks", json={"marks": [{**pair, "verdict": "good"}]})
    assert answer.status_code == 507
    assert "the disk is full" in answer.json()["error"]


def test_a_batch_that_fails_fails_alone() -> None:
    def encode(images: torch.Tensor) -> torch.Tensor:
        if images.max() > 200:
            raise RuntimeError("out of memory")
        return images.flatten(1).float()

    batches = Batches(encode, most=2, wait=0)
    batches.start()
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.submit(torch.full((3, 1, 1), 255, dtype=torch.uint8)).result(5)
    assert batches.submit(torch.zeros(3, 1, 1, dtype=torch.uint8)).result(5).tolist() == [0, 0, 0]
    last = batches.submit(torch.ones(3, 1, 1, dtype=torch.uint8))
    batches.stop()
    assert last.result(0).tolist() == [1, 1, 1], "what waits is answered before the end"


def test_thumbnails_in_memory_are_bounded(tmp_path: Path) -> None:
    sizes, most = [], 1_600_000
    for n in range(60):
        Image.effect_noise((300, 300), 90).save(tmp_path / f"{n}.png")
    thumbnails = Thumbnails(most, Decoder(10**9))
    for n in range(60):
        sizes.append(len(thumbnails.make(str(tmp_path / f"{n}.png"), 320)))
    kept = [n for n in range(60) if thumbnails.kept(str(tmp_path / f"{n}.png"), 320) is not None]
    assert sum(sizes) > most >= sum(sizes[n] for n in kept)
    assert kept
    assert kept == list(range(60))[-len(kept) :]
    assert Image.open(io.BytesIO(thumbnails.kept(str(tmp_path / "59.png"), 320) or b"")).size == (300, 300)
    few = Thumbnails(sizes[0] + 1, Decoder(10**9))
    few.make(str(tmp_path / "0.png"), 320)
    assert few.kept(str(tmp_path / "0.png"), 320) is None, "it would drive out all others"


def test_a_thumbnail_of_a_picture_in_a_tar_file(tmp_path: Path, cars: list[Path]) -> None:
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        shard.add(cars[0], "a/b.jpg")
    with tarfile.open(tmp_path / "shard.tar") as shard:
        member = shard.getmember("a/b.jpg")
    uri = tar_uri(tmp_path / "shard.tar", member.name, member.offset_data, member.size)
    decoder = Decoder(10**9)
    assert thumbnail(uri, 320, decoder) == thumbnail(str(cars[0]), 320, decoder)


def test_defaults_are_for_a_small_machine() -> None:
    settings = ServeSettings()
    assert settings.body <= settings.bodies
    assert settings.bodies + settings.decoding + settings.thumbnails < 2e9, "all together fit in memory"
