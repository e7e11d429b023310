"""Connections of slow and of many clients: uvicorn's, with limits of time and number."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from bier.serve.settings import PROGRESS, ServeSettings


class Connections:
    """All connections of a server: from whom they are, and which of them wait for the head of a request."""

    def __init__(self, most: int, from_one: int) -> None:
        self._most, self._from_one = most, from_one
        self._all: set[Connection] = set()
        self._from: Counter[str] = Counter()
        self._waiting: dict[Connection, None] = {}  # the longest waiting first

    def enter(self, connection: Connection) -> None:
        """Count it in. Beyond a limit one that waits makes room, else its requests are refused, or it is dropped."""
        address = connection.address
        self._all.add(connection)
        self._from[address] += 1
        if self._from[address] > self._from_one and not self._make_room(address):
            connection.crowded = "address"
        if len(self._all) > self._most and not self._make_room(None):
            connection.crowded = "server"
        if self._from[address] > 2 * self._from_one or len(self._all) > 2 * self._most:
            connection.transport.abort()

    def leave(self, connection: Connection) -> None:
        """Count it out, once."""
        self._waiting.pop(connection, None)
        if connection in self._all:
            self._all.remove(connection)
            self._from[connection.address] -= 1
            if not self._from[connection.address]:
                del self._from[connection.address]

    def waits(self, connection: Connection) -> None:
        self._waiting.setdefault(connection)

    def works(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    def _make_room(self, address: str | None) -> bool:
        """End the connection that has waited longest, of all or of those from an address."""
        for other in self._waiting:
            if address in (None, other.address) and not other.unsent:
                self.leave(other)
                other.transport.abort()
                return True
        return False


class Connection(H11Protocol):
    """One connection. Whoever sends no head of a request, or takes no answer, is not waited for."""

    address = ""
    crowded: str | None = None
    """Whose limit of connections it is beyond: the ``address``'s or the ``server``'s."""

    def __init__(self, *arguments: Any, connections: Connections, patience: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._all, self._patience = connections, patience
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._all.enter(self)
        self.app_state = {**self.app_state, "crowded": self.crowded}
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def _watch(self) -> None:
        """Time runs while the client is to do something; how long the app may take is the app's affair."""
        working = self.cycle is not None and not self.cycle.response_complete
        if working or self.transport.is_closing():
            self._all.works(self)
        else:
            self._all.waits(self)
        if working and not self.flow.write_paused:
            self._stop_timer()
        elif self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._unsent = self.unsent
        self._timer = self.loop.call_later(self._patience, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _late(self) -> None:
        taken = self._unsent - self.unsent
        if taken >= PROGRESS or taken == self._unsent > 0:
            self._start_timer()
        else:
            self.transport.abort()


def protocol(settings: ServeSettings) -> Callable[..., Connection]:
    """What uvicorn calls for each connection of one server."""
    connections = Connections(settings.connections, settings.connections_from_one)

    def make(*arguments: Any, **options: Any) -> Connection:
        return Connection(*arguments, connections=connections, patience=settings.patience, **options)

    return make
