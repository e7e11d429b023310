"""From an index folder to a server that listens, and stops when it is told to."""

from __future__ import annotations

import errno
import ipaddress
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from bier.errors import BierError, ConfigError
from bier.search import Index, load_encoder, open_index
from bier.serve.app import create_app
from bier.serve.connections import protocol
from bier.serve.following import Follow
from bier.serve.settings import LOOPBACK_NAMES, ServeSettings
from bier.system import late
from bier.vectors.encoder import PictureEncoder

FILES = 500
"""Open files that are left to the index and to pictures."""


def serve(
    folder: Path,
    settings: ServeSettings,
    *,
    host: str,
    port: int,
    model: str | None = None,
    device: str = "cpu",
    trust_code: bool = False,
    anonymous: bool = False,
    listening: Callable[[str], object] = lambda address: None,
    waiting: Callable[[str], object] = lambda what: None,
    following: Callable[[str], object] = lambda what: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight.

    ``waiting`` hears what takes time before the server listens. ``following`` hears when the index has been rebuilt.

    Raises:
        ConfigError: the port is taken, there is no such host, or it needs a token and has none.
        SearchError, ModelError: the index cannot be opened, or its model is missing or another.
    """
    with ExitStack() as stack:
        server = stack.enter_context(closing(listen(host, port)))
        waiting("opening the index")
        with late.waiting():
            index = stack.enter_context(open_index(folder))
        waiting(f"{index.count():,} pictures; loading the model")
        connections = _connections_that_fit(settings.connections)
        settings = replace(settings, hosts=_names(server, settings, anonymous), connections=connections)
        with late.waiting():
            encoder = load_encoder(index, device, model, trust_code=trust_code)
        load = partial(_its_own, device=device, model=model, trust_code=trust_code)
        app = create_app(index, encoder, settings, Follow(folder, load, following))
        _run(Server(app, settings, lambda: listening(_address(server))), server)


def _its_own(index: Index, *, device: str, model: str | None, trust_code: bool) -> PictureEncoder:
    """The model of a rebuilt index: where that says, or where the model before was."""
    try:
        return load_encoder(index, device)
    except BierError:
        if model is None:
            raise
        return load_encoder(index, device, model, trust_code=trust_code)


class Server(uvicorn.Server):
    """uvicorn with our connections, which tells when it listens.

    A stop takes no longer than a request may: whatever is in flight ends within its own limit of time.
    """

    def __init__(self, app: FastAPI, settings: ServeSettings, listening: Callable[[], object]) -> None:
        config = uvicorn.Config(
            app,
            http=protocol(settings),  # type: ignore[arg-type]  # called like the class that it stands for
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=ceil(settings.seconds),
        )
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to host and port, before anything slow is loaded."""
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        server = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"no such address ({error})", where=f"{host}:{port}", remedy="choose another --host"
        ) from error
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(2048)
    except OSError as error:
        server.close()
        taken = error.errno == errno.EADDRINUSE
        what = "the port is taken by another program" if taken else f"cannot listen there ({error.strerror})"
        remedy = f"choose another, such as --port {port + 1}" if taken else "choose another --host or --port"
        raise ConfigError(what, where=f"{host}:{port}", remedy=remedy) from error
    return server


def _connections_that_fit(wanted: int) -> int:
    """How many connections leave open files for the index, once the system's limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 2 * wanted + FILES  # some connections are only told to come back
    if soft != resource.RLIM_INFINITY and soft < files:
        soft = files if hard == resource.RLIM_INFINITY else min(files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(1, (soft - FILES) // 2))


def _names(server: socket.socket, settings: ServeSettings, anonymous: bool) -> tuple[str, ...] | None:
    """The names that this server answers to; refuses to be open to others without a token."""
    if settings.token is not None or anonymous:
        return None
    host = server.getsockname()[0]
    if not ipaddress.ip_address(host).is_loopback:
        raise ConfigError(
            "other machines could reach this server, and it has no token",
            where=f"--host {host}",
            remedy="set the environment variable BIER_TOKEN to a secret, or add --allow-anonymous",
        )
    return (host, *LOOPBACK_NAMES)


def _address(server: socket.socket) -> str:
    host, port = server.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _run(server: uvicorn.Server, bound: socket.socket) -> None:
    # uvicorn stops gently at these two, then raises them once more for whoever waits outside: nobody does.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[bound])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
