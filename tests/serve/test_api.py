"""What the API answers, asked over HTTP."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from odd_pictures import odd_pictures
from PIL import Image

from bier.errors import SearchError
from bier.search import Index, open_index
from bier.serve import create_app
from bier.vectors.encoder import Encoder

Serve = Callable[..., httpx.Client]


@pytest.fixture
def client(serve: Serve, tmp_path: Path) -> httpx.Client:
    return serve(marks=tmp_path / "marks.jsonl")


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def name(picture: Path) -> str:
    return f"{picture.parent.name}/{picture.name}"


def test_the_vector_is_that_of_the_encoder(client: httpx.Client, encoder: Encoder, cars: list[Path]) -> None:
    for form, content in odd_pictures(cars[7]).items():
        answer = client.post("/api/embed", files={"picture": content}).json()
        [expected] = encoder.encode([encoder.prepare(content)])
        assert np.abs(np.array(answer["vector"]) - expected.numpy()).max() < 1e-5, form
        assert answer["model"] == encoder.fingerprint


def test_an_uploaded_picture_finds_itself(client: httpx.Client, cars: list[Path]) -> None:
    answer = client.post("/api/search/pictures", files={"picture": cars[9].read_bytes()}, data={"top": 3})
    assert ids(answer)[0] == name(cars[9])
    assert answer.json()["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert "image" not in answer.text, "a path of this machine"
    embedded = client.post("/api/embed", files={"picture": cars[9].read_bytes()}).json()
    again = client.post("/api/search", json={"vectors": [embedded["vector"]], "top": 3})
    assert ids(again) == ids(answer)
    assert answer.json()["sha256"] == [embedded["sha256"]]


def test_a_box_is_the_part_that_is_searched(client: httpx.Client, encoder: Encoder, cars: list[Path]) -> None:
    picture, box = cars[9].read_bytes(), [20, 10.5, 60, 50]
    expected = encoder.encode([encoder.prepare(cars[9], box=box)])[0].tolist()
    embedded = client.post("/api/embed", files={"picture": picture}, data={"box": json.dumps(box)}).json()
    assert np.abs(np.array(embedded["vector"]) - expected).max() < 1e-5
    both = [("picture", cars[0].read_bytes()), ("picture", picture)]
    found = client.post("/api/search/pictures", files=both, data={"box": ["null", json.dumps(box)], "top": 60})
    whole = encoder.encode([encoder.prepare(cars[0])])[0].tolist()
    assert ids(found) == ids(client.post("/api/search", json={"vectors": [whole, expected], "top": 60}))
    unlike = {"picture": cars[0].read_bytes(), "unlike_picture": picture}
    less = client.post("/api/search/pictures", files=unlike, data={"unlike_box": json.dumps(box), "top": 60})
    again = client.post("/api/search", json={"vectors": [whole], "unlike_vectors": [expected], "top": 60})
    assert ids(less) == ids(again)


def test_what_is_no_box_of_the_picture_is_refused(client: httpx.Client, cars: list[Path]) -> None:
    for text, message in {
        "[5000, 0, 10, 10]": "car.jpg: box (x 5000, y 0, width 10, height 10) outside the picture",
        "[1, 2, 0, 4]": "car.jpg: a box of width 0 and height 4",
        "[1, 2, 3]": "car.jpg: [1, 2, 3] is no box",
        "[1, 2, 3, NaN]": "is no box",
        "10 10 5 5": "car.jpg: 10 10 5 5 is no box",
        "[" * 200: "is no box",
    }.items():
        for path in ("/api/embed", "/api/search/pictures"):
            refused = client.post(path, files={"picture": ("car.jpg", cars[9].read_bytes())}, data={"box": text})
            assert (refused.status_code, message in refused.json()["error"]) == (422, True), refused.text
            assert "left, top, width and height" in refused.json()["remedy"]
    picture = {"picture": cars[9].read_bytes()}
    refused = client.post("/api/search/pictures", files=picture, data={"box": ["null", "[1, 2, 3, 4]"]})
    assert (refused.status_code, refused.json()["error"]) == (422, "2 boxes for 1 pictures")


def test_learners_take_part_as_chosen(client: httpx.Client, folder: Path, encoder: Encoder) -> None:
    with open_index(folder) as index:
        everything = [record for rows in index.scan() for record in rows.records()]
    stored = {record.id: torch.from_numpy(record.vector.copy()) for record in everything}
    query = everything[3].id
    for learners, chosen in {"1": [0], "3": [2], "1-2": [0, 1], "1-3": [0, 1, 2]}.items():
        alpha = encoder.model.head.scales(chosen[-1] + 1).square() if len(chosen) > 1 else torch.ones(3)
        expected = {}
        for other, vector in stored.items():
            parts = zip(stored[query].split(encoder.sizes), vector.split(encoder.sizes), strict=True)
            cosines = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in parts]
            expected[other] = sum(float(alpha[m]) * cosines[m] for m in chosen)
        del expected[query]
        answer = client.post("/api/search", json={"ids": [query], "learners": learners, "top": 5})
        assert ids(answer) == sorted(expected, key=lambda other: -expected[other])[:5]
        assert [h["score"] for h in answer.json()["hits"]] == pytest.approx(sorted(expected.values())[:-6:-1], abs=1e-5)


def test_in_stages_answers_come_from_a_copy_that_follows_the_index(
    serve: Serve, fill: Callable[..., Index], cars: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bier.search.staged.LOOKS", 0.0)
    index = fill(tmp_path / "index", cars[:40])
    plain, staged = serve(index=index), serve(index=open_index(tmp_path / "index"), staged=True)
    query = {"ids": [name(cars[3])], "top": 5}
    answers = [client.post("/api/search", json=query).json() for client in (plain, staged)]
    assert answers[0]["hits"] == answers[1]["hits"]
    assert [(answer["exact"], answer["recall"]) for answer in answers] == [(True, None), (False, 1)]
    [record] = index.get([name(cars[3])])
    assert record is not None
    index.add(["later"], record.vector[None], [{"image": "later.jpg", "label": "later"}])
    assert ids(plain.post("/api/search", json=query))[0] == "later"
    assert ids(staged.post("/api/search", json={**query, "exact": True}))[0] == "later", "not from the copy"
    deadline = time.monotonic() + 20
    while ids(staged.post("/api/search", json=query))[0] != "later":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_several_examples_and_less_like_this(client: httpx.Client, cars: list[Path]) -> None:
    first, second = name(cars[0]), name(cars[40])
    both = client.post("/api/search", json={"ids": [first, second], "top": 60})
    assert {first, second}.isdisjoint(ids(both))
    mixed = client.post(
        "/api/search/pictures", files={"picture": cars[0].read_bytes()}, data={"id": [second], "top": 60}
    )
    assert [i for i in ids(mixed) if i != first] == ids(both), "an upload counts as much as an id"
    liked = client.post("/api/search", json={"ids": [first], "top": 60})
    unliked = ids(liked)[0]
    less = client.post("/api/search", json={"ids": [first], "unlike_ids": [unliked], "unlike_weight": 1, "top": 60})
    assert unliked not in ids(less)
    far = client.post("/api/search", json={"ids": [first], "unlike_ids": [unliked], "unlike_weight": 0, "top": 60})
    assert ids(far) == [i for i in ids(liked) if i != unliked]
    assert ids(less) != ids(far)
    nothing = client.post("/api/search", json={"ids": [first], "unlike_ids": [first], "unlike_weight": 1})
    assert nothing.status_code == 422
    assert "cancel" in nothing.json()["error"]
    zero = client.post("/api/search", json={"vectors": [[0.0] * 96]})
    assert zero.status_code == 422
    assert "all zeros" in zero.json()["error"]


def test_a_vector_of_zeros_is_like_nothing(client: httpx.Client, encoder: Encoder) -> None:
    zeros = [0.0] * encoder.dimensions
    first_only = [1.0] * encoder.sizes[0] + [0.0] * sum(encoder.sizes[1:])
    for content in ({"vectors": [zeros]}, {"vectors": [first_only], "learners": "2"}):
        answer = client.post("/api/search", json=content)
        assert answer.status_code == 422, answer.text
        assert "zeros" in answer.json()["error"]
    assert client.post("/api/search", json={"vectors": [first_only]}).status_code == 200


def test_filters_and_pages(client: httpx.Client, cars: list[Path]) -> None:
    wanted = [cars[0].parent.name, cars[6].parent.name]
    answer = client.post("/api/search", json={"ids": [name(cars[30])], "where": {"label": wanted}, "top": 100})
    assert {hit["label"] for hit in answer.json()["hits"]} == set(wanted)
    assert len(ids(answer)) == 12
    listed: list[str] = []
    for offset in range(0, 80, 25):
        page = client.get("/api/pictures", params={"offset": offset, "limit": 25}).json()
        assert page["count"] == 60
        listed += [picture["id"] for picture in page["pictures"]]
    assert sorted(listed) == sorted(map(name, cars))
    one = client.get("/api/pictures", params={"where": json.dumps({"label": wanted[0]})}).json()
    assert one["count"] == len(one["pictures"]) == 6
    for field in ("image", "colour"):
        refused = client.post("/api/search", json={"ids": [name(cars[0])], "where": {field: "x"}})
        assert refused.status_code == 422
        assert field in refused.json()["error"]


def test_a_filter_finds_its_pictures_beyond_those_that_are_listed(serve: Serve, cars: list[Path]) -> None:
    client = serve(listed=20)
    assert client.get("/api/pictures").json()["count"] == 20
    for label in {car.parent.name for car in cars}:
        found = client.get("/api/pictures", params={"where": json.dumps({"label": label})}).json()
        assert found["count"] == len(found["pictures"]) == 6


def test_the_values_of_a_field_with_their_counts(client: httpx.Client, cars: list[Path]) -> None:
    names = sorted({picture.parent.name for picture in cars})

    def asked(**params: object) -> dict[str, Any]:
        return client.get("/api/values", params={"field": "label", **params}).json()  # type: ignore[no-any-return]

    everything = {"values": [{"value": label, "count": 6} for label in names], "count": len(names), "nearest": []}
    assert asked() == everything
    assert asked(limit=2) == {**everything, "values": everything["values"][:2]}
    assert [one["value"] for one in asked(part="02")["values"]] == ["002"]
    for params in ({"field": "image"}, {"field": "label", "limit": 1001}, {"field": "label", "part": "x" * 201}, {}):
        assert client.get("/api/values", params=params).status_code == 422


def test_a_picture_is_given_as_large_as_it_is(client: httpx.Client, cars: list[Path]) -> None:
    full = client.get("/api/thumbnail", params={"id": name(cars[0]), "side": "full"})
    with Image.open(io.BytesIO(full.content)) as given, Image.open(cars[0]) as original:
        assert given.size == original.size
        assert "exif" not in given.info


def test_thumbnails_are_small_upright_and_bare(
    serve: Serve, fill: Callable[..., Index], cars: list[Path], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SecretCamera"
    Image.open(cars[0]).convert("RGB").resize((800, 500)).save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "gone.jpg").write_bytes(cars[1].read_bytes())
    index = fill(tmp_path / "index", [tmp_path / "turned.jpg", tmp_path / "gone.jpg"])
    (tmp_path / "gone.jpg").unlink()
    client, prefix = serve(index=index), tmp_path.name
    for side in (320, 960):
        answer = client.get("/api/thumbnail", params={"id": f"{prefix}/turned.jpg", "side": side})
        small = Image.open(io.BytesIO(answer.content))
        assert small.size == (side * 5 // 8, side) if side == 320 else (500, 800)
        assert "exif" not in small.info
        assert b"SecretCamera" not in answer.content
    missing = client.get("/api/thumbnail", params={"id": f"{prefix}/gone.jpg"})
    assert missing.status_code == 404
    assert str(tmp_path) not in missing.json()["error"]
    for attempt in ("../../../etc/passwd", "/etc/passwd", str(cars[0])):
        assert client.get("/api/thumbnail", params={"id": attempt}).status_code == 404


def test_a_thumbnail_is_of_what_the_index_says_now(
    serve: Serve, fill: Callable[..., Index], cars: list[Path], tmp_path: Path
) -> None:
    index = fill(tmp_path / "index", cars[:3])
    client = serve(index=index)
    where, record = name(cars[0]), index.get([name(cars[0])])[0]
    assert record is not None
    assert where in ids(client.post("/api/search", json={"ids": [name(cars[1])], "top": 3}))
    before = client.get("/api/thumbnail", params={"id": where}).content
    index.add([where], record.vector[None], [{**record.metadata, "image": str(cars[2])}])
    assert client.get("/api/thumbnail", params={"id": where}).content != before
    index.delete([where])
    assert client.get("/api/thumbnail", params={"id": where}).status_code == 404


def test_marks_become_pairs(client: httpx.Client, cars: list[Path], tmp_path: Path) -> None:
    query, upload, results = name(cars[0]), "ab" * 32, [name(car) for car in cars[1:4]]
    marks = [{"query": query, "result": result, "verdict": "good"} for result in results]
    marks.append({"sha256": upload, "result": results[0], "verdict": "bad"})
    assert client.post("/api/marks", json={"marks": marks}).json() == {"saved": 4, "wanted": []}
    for result, verdict in zip(results, ("none", "bad"), strict=False):
        client.post("/api/marks", json={"marks": [{"query": query, "result": result, "verdict": verdict}]})
    with open(tmp_path / "marks.jsonl", "a") as file:
        file.write('{"query": "half a li')  # a power cut
    client.post("/api/marks", json={"marks": [{"query": query, "result": name(cars[4]), "verdict": "good"}]})
    answer = client.get("/api/marks.csv")
    rows = [
        (row["query"] or row["sha256"], row["result"], row["verdict"])
        for row in csv.DictReader(io.StringIO(answer.text))
    ]
    assert sorted(rows) == sorted(
        [
            (query, results[1], "bad"),
            (query, results[2], "good"),
            (query, name(cars[4]), "good"),
            (upload, results[0], "bad"),
        ]
    )
    unknown = client.post("/api/marks", json={"marks": [{"query": query, "result": "nothing", "verdict": "bad"}]})
    assert unknown.status_code == 404


def test_requests_share_batches(client: httpx.Client, cars: list[Path]) -> None:
    with ThreadPoolExecutor(12) as threads:
        contents = [car.read_bytes() for car in cars[:24]] + [b"no picture"]
        answers = list(threads.map(lambda content: client.post("/api/embed", files={"picture": content}), contents))
    assert [answer.status_code for answer in answers] == [200] * 24 + [422], "a bad picture spoils only its own request"
    measured = client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in measured.splitlines() if not line.startswith("#"))
    assert float(values["bier_batch_pictures_sum"]) == 24
    assert float(values["bier_batch_pictures_count"]) < 24
    assert float(values['bier_requests_total{method="POST",route="/api/embed",status="422"}']) == 1
    assert float(values["bier_uploads"]) == 0


def test_health_readiness_and_documents(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    for path in ("/", "/api", "/page.js", "/grid.js", "/client.js", "/page.css", "/api.css", "/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_an_index_of_another_model_is_refused(folder: Path, encoder: Encoder) -> None:
    other = Encoder(encoder.model, encoder.transform, "0" * 64)
    with open_index(folder) as index, pytest.raises(SearchError, match="not of this one"):
        create_app(index, other)
