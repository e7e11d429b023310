"""A server's token goes to the server that it belongs to, whatever an index says."""

from __future__ import annotations

import json
import socket

import pytest

from bier.errors import SearchError
from bier.search import open_index
from bier.search.engines.milvus import ADDRESS, TOKEN, token_for


@pytest.mark.parametrize("address", [None, "http://ours:19530"])
def test_an_index_from_elsewhere_gets_neither_a_token_nor_a_connection(tmp_path, monkeypatch, address):
    monkeypatch.setenv(TOKEN, "user:secret")
    if address is not None:
        monkeypatch.setenv(ADDRESS, address)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        content = {"format": "bier-index-1", "model": "m", "sizes": [2], "scales": [1.0], "fields": []}
        (tmp_path / "index.json").write_text(json.dumps(content | {"engine": "milvus", "uri": uri, "collection": "c"}))
        with pytest.raises(SearchError, match=f"set {ADDRESS}={uri}") as raised:
            open_index(tmp_path)
        assert "secret" not in str(raised.value)
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_server_that_is_named_gets_it(monkeypatch):
    monkeypatch.setenv(TOKEN, "user:secret")
    monkeypatch.setenv(ADDRESS, "http://ours:19530/")
    assert token_for("http://ours:19530") == "user:secret"
    for other in ("http://ours", "https://ours:19530", "http://ours:19530@theirs", "http://ours:19530.theirs"):
        with pytest.raises(SearchError, match="is for http://ours:19530/"):
            token_for(other)
    monkeypatch.delenv(TOKEN)
    assert token_for("http://theirs") == ""
