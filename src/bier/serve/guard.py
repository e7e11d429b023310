"""What every request passes first and last: token, limits of size, number and time, security headers, metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bier.serve.metrics import Metrics
from bier.serve.problems import Refusal, problem
from bier.serve.settings import ServeSettings

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
JSON_BODY = 2_000_000
"""Most bytes of a request without pictures: enough for 64 vectors, soon parsed."""

logger = logging.getLogger("bier.serve")


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = Request(scope).headers.get("content-type", "").lower().startswith("multipart/")
        most = self._settings.body if upload else min(self._settings.body, JSON_BODY)
        exchange = Exchange(receive, send, most)
        started = time.perf_counter()
        try:
            await self._limited(scope, exchange, upload)
        except Exception:
            logger.exception("a request failed")
            await exchange.refuse(scope, Refusal(500, "something went wrong here", "see the server's log"))
        # The route's pattern, not the path asked for: whoever tries a million paths makes no million counters.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
        self._metrics.request(route, method, exchange.status, time.perf_counter() - started)

    async def _limited(self, scope: Scope, exchange: Exchange, upload: bool) -> None:
        try:
            async with asyncio.timeout(self._settings.seconds):
                await self._guarded(scope, exchange, upload)
        except TimeoutError:
            late = Refusal(504, f"not done within {self._settings.seconds:g} s", "try again, or with fewer pictures")
            await exchange.refuse(scope, late)

    async def _guarded(self, scope: Scope, exchange: Exchange, upload: bool) -> None:
        request = Request(scope)
        try:
            self._check_origin(request)
            self._check_token(request)
            exchange.check_length(request)
            if upload and self._uploads >= self._settings.queue:
                raise Refusal(429, "too many pictures are waiting", "try again in a second", {"Retry-After": "1"})
        except Refusal as refusal:
            await exchange.drain()
            await exchange.refuse(scope, refusal)
            return
        self._count(upload)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            self._count(-upload)

    def _count(self, change: int) -> None:
        self._uploads += change
        self._metrics.uploads.set(self._uploads)

    def _check_origin(self, request: Request) -> None:
        if self._settings.hosts is not None and _host(request) not in self._settings.hosts:
            address = f"http://{self._settings.hosts[0]}:{(request.scope.get('server') or ('', ''))[1]}"
            raise Refusal(421, "this server does not go by that name", f"open {address}")
        if request.method != "GET" and request.headers.get("sec-fetch-site") == "cross-site":
            raise Refusal(403, "a page of another site asked for this", "open this server's own page")

    def _check_token(self, request: Request) -> None:
        token, path = self._settings.token, request.scope["path"]
        if token is None or not (path.startswith("/api/") or path == "/metrics"):
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refusal(
                401, "the token is missing or wrong", "send the header Authorization: Bearer TOKEN", challenge
            )


class Exchange:
    """One request's messages: counts what comes in, completes what goes out."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive, self._send, self._most = receive, send, most
        self._bytes, self._complete = 0, False
        self.status = 0
        """Of the answer, 0 before it."""

    def check_length(self, request: Request) -> None:
        """Refuse a body that says beforehand that it is too large."""
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most:
            raise _too_large(self._most)

    async def receive(self) -> Message:
        message = await self._receive()
        self._complete = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most:
            raise _too_large(self._most)
        return message

    async def drain(self) -> None:
        """Read the rest of the body, within the limit: whoever is still sending would not see the answer."""
        try:
            while not self._complete:
                await self.receive()
        except Refusal:
            pass

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            named = {name.lower() for name, _ in message["headers"]}
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in named]
            message = {**message, "headers": [*message["headers"], *own]}
        await self._send(message)

    async def refuse(self, scope: Scope, refusal: Refusal) -> None:
        if self.status == 0:
            answer = problem(refusal.status_code, str(refusal.detail), refusal.remedy, refusal.headers)
            await answer(scope, self.receive, self.send)


def _host(request: Request) -> str:
    """The name that the request was sent to, without its port: ``localhost``, ``127.0.0.1``, ``::1``."""
    match = re.fullmatch(r"\[?(.*?)\]?(:\d+)?", request.headers.get("host", ""), re.DOTALL)
    return match[1] if match else ""


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"more than {most / 1e6:g} MB", "send a smaller picture, or fewer", {"Connection": "close"})
