"""What a server allows and where it keeps things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bier.search.approximate import USUAL_RECALL

PROGRESS = 10_000
"""Bytes: a client that moves fewer in its time is given up."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServeSettings:
    """Limits of one server; the defaults suit a small machine."""

    title: str = "pictures"
    """What the page calls the index."""
    token: str | None = None
    """Requests must carry it as ``Authorization: Bearer TOKEN``; ``None`` lets everybody in."""
    hosts: tuple[str, ...] | None = None
    """Names in the ``Host`` header that are answered, ``None`` for all. A web page of somebody else that points a
    name of its own at this machine would otherwise read a server that asks for no token."""
    marks: Path | None = None
    """The file that good and bad marks are appended to."""
    uploads: Path | None = None
    """The folder where pictures are kept that were uploaded and marked; ``None`` keeps none."""
    uploads_bytes: int = 1_000_000_000
    """Most bytes of all of them."""
    staged: bool = False
    """Queries of all learners are answered in stages, from a copy of the index in memory, which follows it."""
    recall: float = USUAL_RECALL
    """Recall@10 that is wanted of stages."""
    rerank: str | None = None
    """How hits are ranked again where a request does not say, for queries of all learners (`bier.method.reranking`)."""
    batch: int = 16
    """Most pictures that go through the model at once."""
    wait: float = 0.004
    """Seconds that a picture waits for others to share its batch."""
    queue: int = 64
    """Most uploads in hand at once; one more is answered 429. One that has not come whole is not in hand."""
    body: int = 20_000_000
    """Most bytes of a request."""
    bodies: int = 256_000_000
    """Most bytes of all uploads that have come or are coming; beyond it an upload is answered 429."""
    json: int = 1_000_000
    """Most bytes of a request without pictures: enough for 64 vectors of 700 numbers."""
    seconds: float = 30.0
    """Most time for a request."""
    patience: float = 10.0
    """Most time for the head of a request, for each further `PROGRESS` bytes of its body, and of its answer."""
    connections: int = 1000
    """Most connections at once. One that waits for a request makes room for a new one."""
    connections_from_one: int = 200
    """Most of them from one address. A proxy is one address."""
    pixels: int = 25_000_000
    """Most pixels of an uploaded picture."""
    decoding: int = 1_500_000_000
    """Most bytes that all pictures take together while they are decoded, uploads and thumbnails."""
    decoders: int = 2
    """Pictures decoded at once, for uploads and again for thumbnails."""
    thumbnails: int = 64_000_000
    """Most bytes of thumbnails kept in memory."""
    listed: int = 100_000
    """Most pictures that can be browsed without searching; a browser can lay out no more."""
