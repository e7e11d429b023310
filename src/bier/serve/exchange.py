"""One request's messages: its body comes whole, in time and within limits, before anybody works on it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from bier.serve.problems import Refusal, problem
from bier.serve.settings import PROGRESS

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
}
CLOSE = {"Connection": "close"}
BUSY = {"Retry-After": "1"}


@dataclass
class Bodies:
    """Bytes of all bodies of one kind, from when they come until their requests are answered."""

    most: int
    """Of one."""
    together: int
    now: int = 0


class Exchange:
    """Counts what comes in, completes what goes out."""

    def __init__(self, receive: Receive, send: Send, bodies: Bodies) -> None:
        self._receive, self._send, self._bodies = receive, send, bodies
        self._kept: deque[Message] = deque()
        self._bytes, self._counted, self._complete = 0, 0, False
        self.gone = False
        """Whether the client has left."""
        self.status = 0
        """Of the answer, 0 before it."""

    def check_length(self, request: Request) -> None:
        """Refuse a body whose length is in doubt, or that says beforehand that it is too large."""
        length = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers and "content-length" in request.headers:
            raise Refusal(400, "both Content-Length and Transfer-Encoding", "send one of them", CLOSE)
        if length.isdecimal() and int(length) > self._bodies.most:
            raise _too_large(self._bodies.most)

    async def read_body(self, patience: float) -> None:
        """All of the body, which `receive` hands on afterwards."""
        while not self._complete:
            message = await self._next(patience)
            self._kept.append(message)
            size = len(message.get("body", b""))
            if self._bodies.now + size > self._bodies.together:
                raise Refusal(429, "too many pictures are coming at once", "try again in a second", BUSY)
            self._bodies.now += size
            self._counted += size

    async def drain(self, patience: float) -> None:
        """Read the rest of the body, within the limits: whoever is still sending would not see the answer."""
        self.let_go()
        try:
            while not self._complete:
                await self._next(patience)
        except Refusal:
            pass

    def let_go(self) -> None:
        """The body is of no use any more."""
        self._kept.clear()
        self._bodies.now -= self._counted
        self._counted = 0

    async def receive(self) -> Message:
        if not self._kept:
            return await self._receive()
        await asyncio.sleep(0)  # parsing a large body piece by piece lets others in between
        return self._kept.popleft()

    async def _next(self, patience: float) -> Message:
        """The next piece, of `PROGRESS` bytes at least, or the last."""
        pieces = bytearray()
        try:
            async with asyncio.timeout(patience):
                while not self._complete and len(pieces) < PROGRESS:
                    pieces += await self._piece()
        except TimeoutError:
            what = f"fewer than {PROGRESS:,} bytes of the request came within {patience:g} s"
            raise Refusal(408, what, "try again over a faster connection", CLOSE) from None
        return {"type": "http.request", "body": bytes(pieces), "more_body": not self._complete}

    async def _piece(self) -> bytes:
        message = await self._receive()
        self.gone = message["type"] == "http.disconnect"
        self._complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self._bytes += len(piece)
        if self._bytes > self._bodies.most:
            raise _too_large(self._bodies.most)
        return piece

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            named = {name.lower() for name, _ in message["headers"]}
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in named]
            message = {**message, "headers": [*message["headers"], *own]}
        await self._send(message)

    async def refuse(self, scope: Scope, refusal: Refusal) -> None:
        if self.status == 0 and not self.gone:
            answer = problem(refusal.status_code, str(refusal.detail), refusal.remedy, refusal.headers)
            await answer(scope, self.receive, self.send)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"more than {most / 1e6:g} MB", "send a smaller picture, or fewer", CLOSE)
