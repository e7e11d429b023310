"""What only a server can do: go away, be absent, lose a collection."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bier.errors import SearchError
from bier.search import IndexInfo, create_index, open_index

INFO = IndexInfo("model", (2, 4), (0.5, 0.8), engine="milvus")

pytestmark = [pytest.mark.slow, pytest.mark.milvus]


def test_no_server_no_index(tmp_path):
    started = time.monotonic()
    with pytest.raises(SearchError, match="see that it runs") as raised:
        create_index(tmp_path / "index", INFO, uri="http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in str(raised.value)
    assert time.monotonic() - started < 60
    assert not (tmp_path / "index" / "index.json").exists()


def test_a_collection_that_is_gone_is_named(milvus_server, tmp_path):
    with create_index(tmp_path / "index", INFO, uri=milvus_server) as index:
        index._client.drop_collection(index.info.collection)
    with pytest.raises(SearchError, match=f"no collection '{index.info.collection}'"):
        open_index(tmp_path / "index")


def test_a_server_that_goes_away_is_one_clear_error_a_call(milvus, milvus_server, tmp_path):
    # The last test that uses the server.
    with create_index(tmp_path / "index", INFO, uri=milvus_server) as index:
        index.add(["a", "b"], np.ones((2, 6)), [{}, {}])
        milvus.server_proc.kill()
        started = time.monotonic()
        for call in (lambda: index.search(np.ones(6)), lambda: index.add(["d"], np.ones((1, 6)), [{}])):
            with pytest.raises(SearchError, match="see that it runs"):
                call()
        assert time.monotonic() - started < 120
