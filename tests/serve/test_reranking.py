"""Re-ranking over HTTP: for one request, or as the server's way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from bier.method.reranking import parse
from bier.search import open_index

Serve = Callable[..., httpx.Client]
SMALL = "k-reciprocal,k1=5,k2=2"


def name(picture: Path) -> str:
    return f"{picture.parent.name}/{picture.name}"


def test_a_request_asks_for_it(serve: Serve, folder: Path, cars: list[Path]) -> None:
    client = serve()
    query = {"ids": [name(cars[3])], "top": 60}
    plain, again = (
        client.post("/api/search", json={**query, **more}).json()["hits"] for more in ({}, {"rerank": SMALL})
    )
    assert {hit["reranked"] for hit in plain} == {None}
    assert [hit["reranked"] for hit in again] == sorted((hit["reranked"] for hit in again), reverse=True)
    assert {hit["id"]: hit["score"] for hit in again} == {hit["id"]: hit["score"] for hit in plain}
    with open_index(folder) as index:
        records = index.get([name(cars[3]), *(hit["id"] for hit in plain)])
    asked, *pool = [record.vector for record in records if record is not None]
    assert again[0]["id"] == plain[parse(SMALL).scores(asked, np.stack(pool)).argmax()]["id"]


def test_the_servers_way_gives_way(serve: Serve, cars: list[Path]) -> None:
    client = serve(rerank="k-reciprocal,k1=8")
    assert client.get("/api/info").json()["rerank"] == "k-reciprocal,k1=8"

    def reranked(**asked: object) -> bool:
        hits = client.post("/api/search", json={"ids": [name(cars[3])], **asked}).json()["hits"]
        return hits[0]["reranked"] is not None

    assert reranked()
    assert not reranked(rerank="none")
    assert not reranked(learners="1")
    assert not reranked(where={"label": cars[3].parent.name}), "five pictures, fewer than neighbours"


def test_what_cannot_be_is_refused(serve: Serve, cars: list[Path]) -> None:
    client = serve()
    for asked, message in (
        ({"rerank": "k-recipocal"}, "unknown re-ranking 'k-recipocal'"),
        ({"rerank": "dba,alpha=-1"}, "alpha of dba is -1"),
        ({"rerank": "k-reciprocal,lambda=2"}, "lambda of k-reciprocal is 2"),
        ({"rerank": SMALL, "learners": "1"}, "re-ranking is by all learners"),
        ({"rerank": "k-reciprocal", "where": {"label": cars[3].parent.name}}, "takes 20 neighbours, and there are 5"),
    ):
        refused = client.post("/api/search", json={"ids": [name(cars[3])], **asked})
        assert (refused.status_code, message in refused.json()["error"]) == (422, True), refused.text
        assert refused.json()["remedy"]
