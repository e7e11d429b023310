"""What every request passes first and last: token, limits of size, number and time, security headers, metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from bier.serve.exchange import BUSY, CLOSE, Bodies, Exchange
from bier.serve.metrics import Metrics
from bier.serve.origins import SAFE, host_name, is_foreign
from bier.serve.problems import Refusal
from bier.serve.settings import ServeSettings

logger = logging.getLogger("bier.serve")


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._uploads = 0
        words = min(settings.body, settings.json)
        self._pictures = Bodies(settings.body, max(settings.body, settings.bodies))
        self._words = Bodies(words, words * settings.queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = Request(scope).headers.get("content-type", "").lower().startswith("multipart/")
        exchange = Exchange(receive, send, self._pictures if upload else self._words)
        started = time.perf_counter()
        try:
            await self._limited(scope, exchange, upload)
        except Exception:
            logger.exception("a request failed")
            await exchange.refuse(scope, Refusal(500, "something went wrong here", "see the server's log"))
        finally:
            exchange.let_go()
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
        try:
            self._check(Request(scope), exchange)
            await exchange.read_body(self._settings.patience)
            if upload and self._uploads >= self._settings.queue:
                raise Refusal(429, "too many pictures are waiting", "try again in a second", BUSY)
        except Refusal as refusal:
            if refusal.status_code != 408:
                await exchange.drain(self._settings.patience)
            await exchange.refuse(scope, refusal)
            return
        if exchange.gone:
            return
        self._count(upload)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            self._count(-upload)

    def _count(self, change: int) -> None:
        self._uploads += change
        self._metrics.uploads.set(self._uploads)

    def _check(self, request: Request, exchange: Exchange) -> None:
        _check_connection(request.scope.get("state", {}).get("crowded"))
        self._check_origin(request)
        self._check_token(request)
        exchange.check_length(request)

    def _check_origin(self, request: Request) -> None:
        host, headers = request.headers.get("host", ""), request.headers
        if self._settings.hosts is not None and host_name(host) not in self._settings.hosts:
            address = f"http://{self._settings.hosts[0]}:{(request.scope.get('server') or ('', ''))[1]}"
            raise Refusal(421, "this server does not go by that name", f"open {address}")
        # Another site's page knows no token; and a proxy may rename the host.
        origins = headers.getlist("origin") if self._settings.token is None else []
        if request.method not in SAFE and is_foreign(headers.getlist("sec-fetch-site"), origins, host):
            remedy = "open this server's own page; a proxy must pass on the header Host"
            raise Refusal(403, "a page of another site asked for this", remedy)

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


def _check_connection(crowded: str | None) -> None:
    """Refuse what came over a connection beyond a limit, see `bier.serve.connections`."""
    if crowded == "address":
        raise Refusal(429, "too many connections from your address", "close some, or try again", {**BUSY, **CLOSE})
    if crowded is not None:
        raise Refusal(503, "too many connections", "try again in a second", {**BUSY, **CLOSE})
