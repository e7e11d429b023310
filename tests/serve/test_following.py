"""A server whose index is rebuilt: no request fails, and soon the new model answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from colours import Colours, filled, name_of, painted
from pages import expect
from servers import served

from bier.errors import ModelError
from bier.search import Index, open_index
from bier.search.rebuild import go_back, rebuild_index
from bier.serve import Follow, ServeSettings

Open = Callable[..., Any]
MODELS = {f"model-{number}": number for number in (1, 2, 3)}


def load(index: Index) -> Colours:
    time.sleep(0.2)  # as a model takes some time
    return Colours(MODELS[index.info.model], (4, 8))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return painted(tmp_path / "photos")


@pytest.fixture
def folder(tmp_path: Path, photos: list[Path]) -> Path:
    filled(tmp_path / "index", photos, "exact")
    return tmp_path / "index"


@contextmanager
def following(folder: Path, follow: Follow) -> Iterator[httpx.Client]:
    with (
        open_index(folder) as index,
        served(index, Colours(1), ServeSettings(seconds=1), follow) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        yield client


def model(client: httpx.Client) -> str:
    return str(client.get("/api/info").json()["model"])


def until_it_answers(client: httpx.Client, wanted: str) -> None:
    ends = time.monotonic() + 20
    while model(client) != wanted:
        assert time.monotonic() < ends, f"{wanted} never answered"
        time.sleep(0.02)


def test_requests_go_on_while_the_model_changes(folder: Path, photos: list[Path]) -> None:
    told: list[str] = []
    failures: list[httpx.Response] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=client.base_url, timeout=30, trust_env=False) as own:
            while not done.is_set():
                with photos[0].open("rb") as picture:
                    answer = own.post("/api/search/pictures", files={"picture": picture}, data={"top": 3})
                good = answer.status_code == 200 and answer.json()["hits"][0]["score"] > 0.9999
                failures.extend([] if good else [answer])

    with following(folder, Follow(folder, load, told.append)) as client:
        people = [threading.Thread(target=ask) for _ in range(2)]
        for one in people:
            one.start()
        try:
            for wanted in ("model-2", "model-1", "model-2", "model-3"):
                if wanted == "model-3" or not told:
                    rebuild_index(folder, Colours(MODELS[wanted]))
                else:
                    go_back(folder).close()
                until_it_answers(client, wanted)
            time.sleep(1.2)  # until what was replaced has been let go
        finally:
            done.set()
            for one in people:
                one.join()
        assert failures == []
        assert [text.split()[-3] for text in told] == ["model-2", "model-1", "model-2", "model-3"]
        assert client.get("/api/pictures").json()["count"] == len(photos)


def test_vectors_of_the_model_before_are_refused(folder: Path, photos: list[Path]) -> None:
    with following(folder, Follow(folder, load)) as client:
        with photos[0].open("rb") as picture:
            seen = client.post("/api/embed", files={"picture": picture}).json()
        request = {"vectors": [seen["vector"]], "model": seen["model"]}
        assert client.post("/api/search", json=request).json()["hits"][0]["id"] == name_of(photos[0])
        rebuild_index(folder, Colours(2))
        until_it_answers(client, "model-2")
        answer = client.post("/api/search", json=request)
        assert (answer.status_code, answer.json()["error"]) == (
            409,
            "the vectors are of another model than the index",
        )


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_answering(folder: Path) -> None:
    def missing(index: Index) -> Colours:
        raise ModelError("there is no such file", where=Path("away.safetensors"))

    told: list[str] = []
    with following(folder, Follow(folder, missing, told.append)) as client:
        rebuild_index(folder, Colours(2))
        ends = time.monotonic() + 20
        while not told and time.monotonic() < ends:
            assert model(client) == "model-1"
        assert model(client) == "model-1"
    [text] = told
    assert "the model before goes on answering: away.safetensors: there is no such file" in text


@pytest.mark.slow
def test_the_page_searches_on_by_an_upload_of_before(folder: Path, photos: list[Path], visit: Open) -> None:
    with following(folder, Follow(folder, load)) as client:
        page = visit(client)
        page.set_input_files("#files", photos[0])
        expect(page.locator("#heading")).to_have_text("Most alike")
        rebuild_index(folder, Colours(2))
        until_it_answers(client, "model-2")
        with page.expect_response("**/api/search") as answer:
            page.get_by_text("Advanced").click()
            page.get_by_text("Only 1").click()
        assert answer.value.status == 409
        expect(page.locator("#pictures .hit").first.locator(".value")).to_have_text("1.00")
        expect(page.locator("#status")).to_contain_text("best: class 0")
