"""What only a server can do: go away, be absent, lose a collection."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ensembles import numbered

from bier.errors import SearchError
from bier.search import IndexInfo, create_index, open_index
from bier.search.engines.milvus import ADDRESS, TOKEN, token_for

INFO = IndexInfo("model", (2, 4), (0.5, 0.8), engine="milvus")

pytestmark = [pytest.mark.slow, pytest.mark.milvus]


def test_no_server_no_index(tmp_path):
    started = time.monotonic()
    with pytest.raises(SearchError, match="see that it runs") as raised:
        create_index(tmp_path / "index", INFO, uri="http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in str(raised.value)
    assert time.monotonic() - started < 60
    assert not (tmp_path / "index" / "index.json").exists()


def test_a_token_is_sent_to_the_server_that_it_belongs_to_and_to_no_other(milvus_server, tmp_path, monkeypatch):
    create_index(tmp_path / "index", INFO, uri=milvus_server).close()
    monkeypatch.setenv(TOKEN, "user:secret")
    for address in (None, "http://other:19530"):
        if address is not None:
            monkeypatch.setenv(ADDRESS, address)
        for call in (
            lambda: open_index(tmp_path / "index"),
            lambda: create_index(tmp_path / "new", INFO, uri=milvus_server),
        ):
            with pytest.raises(SearchError, match=f"set {ADDRESS}={milvus_server}") as raised:
                call()
            assert "secret" not in str(raised.value)
    monkeypatch.setenv(ADDRESS, milvus_server + "/")
    open_index(tmp_path / "index").close()
    assert token_for(milvus_server) == "user:secret"
    monkeypatch.delenv(TOKEN)
    assert token_for("http://other") == ""


def test_a_collection_that_is_gone_is_named(milvus_server, tmp_path):
    with create_index(tmp_path / "index", INFO, uri=milvus_server) as index:
        index._client.drop_collection(index.info.collection)
    with pytest.raises(SearchError, match=f"no collection '{index.info.collection}'"):
        open_index(tmp_path / "index")


def test_a_server_that_goes_away_is_one_clear_error_a_call(milvus, milvus_server, tmp_path):
    # The last test that uses the server.
    with create_index(tmp_path / "index", INFO, uri=milvus_server) as index:
        index.add(["a", "b"], numbered(1, 2, INFO), [{}, {}])
        milvus.server_proc.kill()
        started = time.monotonic()
        for call in (lambda: index.search(np.ones(6)), lambda: index.add(["d"], numbered(1, 1, INFO), [{}])):
            with pytest.raises(SearchError, match="see that it runs"):
                call()
        assert time.monotonic() - started < 120
