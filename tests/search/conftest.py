"""Every engine, each with what it needs; Milvus with a server of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import quietly

from bier.search import Index, IndexInfo, create_index
from bier.search.engines.milvus import ADDRESS, TOKEN
from bier.search.folder import ENGINES

INFO = IndexInfo("fingerprint-of-a-model", sizes=(2, 4), scales=(0.5, 0.8))
MILVUS = [pytest.mark.slow, pytest.mark.milvus]
ALL = [pytest.param(name, marks=MILVUS if name == "milvus" else []) for name in ENGINES]
"""Every engine: a new one runs through all tests that ask for `make` or `index`."""


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real server on a free port, stopped in the end whatever happens; only one can run on a machine."""
    with quietly():
        from milvus import MilvusServer

        server = MilvusServer()
        server.config.set("authorization_enabled", True)
        server.set_base_dir(str(tmp_path_factory.mktemp("milvus")))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server.listen_port = free.getsockname()[1]
    try:
        with quietly():
            server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def milvus_server(milvus: Any) -> Iterator[str]:
    """Its address; it asks for a token, which is set for all tests."""
    address = f"http://127.0.0.1:{milvus.listen_port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOKEN, "root:Milvus")
        patch.setenv(ADDRESS, address)
        yield address


@pytest.fixture(params=ALL)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Index]]:
    """A new index of each engine in turn, under a name."""
    uri = request.getfixturevalue("milvus_server") if request.param == "milvus" else None
    made: list[Index] = []

    def create(name: str = "index", info: IndexInfo = INFO) -> Index:
        made.append(create_index(tmp_path / name, info, request.param, uri=uri))
        return made[-1]

    yield create
    for index in made:
        index.close()


@pytest.fixture
def index(make: Callable[..., Index]) -> Index:
    return make()
