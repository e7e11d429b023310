"""What only a server can do: go away, be absent, lose a collection."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time

import httpx
import numpy as np
import pytest
from ensembles import clustered, numbered
from servers import quietly, serving
from tiny_models import tiny_model

from bier.cli.entry import main
from bier.errors import SearchError
from bier.search import IndexInfo, create_index, open_index
from bier.search.engines.milvus import ADDRESS, TOKEN

INFO = IndexInfo("model", (2, 4), (0.5, 0.8), engine="milvus")
WIDE = IndexInfo("model", (8, 24), (0.5, 0.8), engine="milvus")
SESSION = 35
"""Seconds for which the server believes that one that was killed still runs."""

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

    def calls():
        yield lambda: open_index(tmp_path / "index")
        yield lambda: create_index(tmp_path / "new", INFO, uri=milvus_server)

    monkeypatch.setenv(TOKEN, "root:secret")
    for address, said in (
        ("http://other:19530", f"set {ADDRESS}={milvus_server}"),
        (milvus_server, f"that {TOKEN} is"),
    ):
        monkeypatch.setenv(ADDRESS, address)
        for call in calls():
            with pytest.raises(SearchError, match=said) as raised:
                call()
            assert "secret" not in str(raised.value)
    monkeypatch.delenv(TOKEN)
    for call in calls():
        with pytest.raises(SearchError, match=f"that {TOKEN} is right if it asks for one"):
            call()
    monkeypatch.setenv(TOKEN, "root:Milvus")
    monkeypatch.setenv(ADDRESS, milvus_server + "/")
    open_index(tmp_path / "index").close()


def test_a_collection_that_is_gone_is_named(milvus_server, tmp_path):
    with create_index(tmp_path / "index", INFO, uri=milvus_server) as index:
        index._client.drop_collection(index.info.collection)
    with pytest.raises(SearchError, match=f"no collection '{index.info.collection}'"):
        open_index(tmp_path / "index")


def test_its_approximate_index_reaches_its_recall_and_leaves_exact_searches(milvus_server, tmp_path):
    with create_index(tmp_path / "index", WIDE, uri=milvus_server) as index:
        vectors = clustered(20_000, 0, WIDE)
        names = [f"p{row}" for row in range(len(vectors))]
        index.add(names, vectors, [{"label": str(row % 4)} for row in range(len(vectors))])
        assert index.approximation is None
        told: list[str] = []
        known = index.tune(0.9, told.append)
        assert known.setting is not None
        assert 0.9 <= known.recall < 1
        assert known.pictures == len(vectors)
        assert told[0] == "building the approximate index of 20,000 pictures"

        queries = clustered(200, 1, WIDE)
        best = np.sort(queries @ vectors.T, axis=1)[:, :-11:-1]
        exact = index.search(queries, exact=True)
        np.testing.assert_allclose([[hit.score for hit in hits] for hits in exact], best, atol=1e-6)
        found = index.search(queries)
        assert found != exact, "it was not used"
        shares = [len({hit.id for hit in a} & {hit.id for hit in b}) / 10 for a, b in zip(found, exact, strict=True)]
        assert np.mean(shares) == pytest.approx(known.recall, abs=0.06)
        only = {"label": "3"}
        assert index.search(queries, where=only) == index.search(queries, where=only, exact=True)

        index.add(["new"], queries[:1], [{}])
        assert index.search(queries[0])[0][0].id == "new"
        index.delete(["new"])
        assert index.search(queries[0])[0][0].id != "new"
    with open_index(tmp_path / "index") as again:
        assert again.approximation == known
        assert again.search(queries) == found


def test_a_collection_of_an_earlier_version_stays_exact(milvus_server, tmp_path):
    with create_index(tmp_path / "index", WIDE, uri=milvus_server) as index:
        client, name = index._client, index.info.collection
        client.release_collection(name)
        client.drop_index(name, "vector")
        params = client.prepare_index_params()
        params.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_index(name, params)
    with open_index(tmp_path / "index") as index:
        vectors = clustered(1_500, 0, WIDE)
        index.add([f"p{row}" for row in range(1_500)], vectors, [{}] * 1_500)
        index.flush()
        best = (clustered(1, 1, WIDE) @ vectors.T).max()
        assert index.search(clustered(1, 1, WIDE))[0][0].score == pytest.approx(best)
        with pytest.raises(SearchError, match="can be searched exactly alone"):
            index.tune(0.9)
        assert index.search(clustered(1, 1, WIDE))[0][0].score == pytest.approx(best)


@pytest.mark.timeout(900)
def test_two_servers_answer_from_one_collection(milvus_server, tmp_path, photographs):
    pictures = sorted((photographs / "cars196" / "images").rglob("*.jpg"))[:6]
    model = tiny_model(tmp_path) / "model.safetensors"
    (tmp_path / "first").mkdir()
    for picture in pictures[:4]:
        shutil.copy(picture, tmp_path / "first" / picture.name)
    fill = ["index", str(tmp_path / "first"), "-o", str(tmp_path / "one"), "--model", str(model), "--device", "cpu"]
    run([*fill, "--engine", "milvus", "--uri", milvus_server])
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # as on another machine
    with serving(tmp_path / "one") as (_, one), serving(tmp_path / "two") as (_, two):

        def answers(picture):
            asked = {"files": {"picture": picture.read_bytes()}, "timeout": 60}
            found = [httpx.post(f"{address}/api/search/pictures", **asked) for address in (one, two)]
            assert [answer.status_code for answer in found] == [200, 200]
            return [[hit["id"] for hit in answer.json()["hits"]] for answer in found]

        both = answers(pictures[0])
        assert both[0] == both[1]
        assert both[0][0] == pictures[0].name
        assert len(both[0]) == 4
        for picture in pictures[4:]:
            shutil.copy(picture, tmp_path / "first" / picture.name)
        run(fill)
        both = answers(pictures[5])
        assert both[0] == both[1]
        assert both[0][0] == pictures[5].name
        assert len(both[0]) == 6


def run(arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code in (0, None)


def until_free(port):
    """Or the script starts the server at another port, without a word."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return
        time.sleep(1)


def opened_at_last(folder):
    """The server takes a minute or two until it has found everything."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with contextlib.suppress(SearchError):
            return open_index(folder)
        time.sleep(5)
    return open_index(folder)


def test_a_server_that_is_started_again_has_everything(milvus, milvus_server, tmp_path):
    with create_index(tmp_path / "index", WIDE, uri=milvus_server) as index:
        index.add([f"p{row}" for row in range(3_000)], clustered(3_000, 0, WIDE), [{}] * 3_000)
        index.flush()
        index.add(["last"], clustered(1, 1, WIDE), [{}])
        before = index.search(clustered(5, 2, WIDE))
    milvus.server_proc.kill()
    milvus.server_proc.wait()
    time.sleep(SESSION)
    until_free(milvus.listen_port)
    with quietly():
        milvus.start()
    with opened_at_last(tmp_path / "index") as index:
        assert index.count() == 3_001
        assert index.search(clustered(1, 1, WIDE))[0][0].id == "last"
        assert index.search(clustered(5, 2, WIDE)) == before


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
