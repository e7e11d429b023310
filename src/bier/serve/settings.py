"""What a server allows and where it keeps things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    staged: bool = False
    """Queries of all learners are answered in stages, from a copy of the index in memory, made at the start."""
    batch: int = 16
    """Most pictures that go through the model at once."""
    wait: float = 0.004
    """Seconds that a picture waits for others to share its batch."""
    queue: int = 64
    """Most uploads in hand at once; one more is answered 429."""
    body: int = 20_000_000
    """Most bytes of a request."""
    seconds: float = 30.0
    """Most time for a request."""
    decoders: int = 2
    """Pictures decoded at once, for uploads and again for thumbnails."""
    thumbnails: int = 64_000_000
    """Most bytes of thumbnails kept in memory."""
    listed: int = 100_000
    """Most pictures that can be browsed without searching; a browser can lay out no more."""
