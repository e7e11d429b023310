"""A real server, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bier.search import Index
from bier.serve import Follow, ServeSettings, create_app
from bier.serve.server import Server, listen
from bier.vectors.encoder import PictureEncoder


@contextmanager
def served(
    index: Index, encoder: PictureEncoder, settings: ServeSettings, follow: Follow | None = None
) -> Iterator[str]:
    """The address of a uvicorn that runs meanwhile."""
    listening = threading.Event()
    server = Server(create_app(index, encoder, settings, follow), settings, listening.set)
    bound = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert listening.wait(30)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive()
