"""How sure the API's answers are."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bier.confidence.calibration import Calibration
from bier.confidence.fitting import calibrate
from bier.search import ConfidentSearch, Index
from bier.search.calibration_file import FILE, IndexCalibration, write_calibration
from bier.vectors.encoder import Encoder

Serve = Callable[..., httpx.Client]
UNTOLD = {"confidence": None, "known": None, "absent": None}


@pytest.fixture
def index(fill: Callable[..., Index], cars: list[Path], tmp_path: Path) -> Index:
    return fill(tmp_path / "index", cars)


@pytest.fixture
def calibration(index: Index) -> Calibration:
    """Learned from the index's own pictures."""
    [rows] = index.scan()
    labels = [row["label"] for row in rows.metadata]
    return calibrate(rows.vectors, labels, rows.vectors, labels, index.info.sizes, itself=np.arange(len(rows)))


def said(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {name: answer.json()[name] for name in UNTOLD}


def test_answers_of_one_example_are_judged(
    serve: Serve, index: Index, calibration: Calibration, encoder: Encoder, cars: list[Path]
) -> None:
    client, asked = serve(index=index), cars[3]
    name, upload = f"{asked.parent.name}/{asked.name}", {"picture": asked.read_bytes()}
    assert client.get("/api/info").json()["calibrated"] is False
    assert said(client.post("/api/search/pictures", files=upload)) == UNTOLD

    write_calibration(index.folder, index.info, IndexCalibration(calibration, len(cars)))
    assert client.get("/api/info").json()["calibrated"] is True, "a running server takes it up"
    search = ConfidentSearch(index, calibration)
    vector = encoder.encode([encoder.prepare(asked)])
    [expected], [others] = search.search(vector), search.search(vector, without={name})
    by_picture = client.post("/api/search/pictures", files=upload, data={"top": 3})
    by_vector = client.post("/api/search", json={"vectors": vector.tolist(), "top": 1})
    by_id = client.post("/api/search", json={"ids": [name]})
    for answer, wanted in ((by_picture, expected), (by_vector, expected), (by_id, others)):
        found = said(answer)
        assert found["confidence"] == pytest.approx(wanted.confidence, abs=1e-4)
        assert found["known"] == pytest.approx(wanted.known, abs=1e-4)
        assert found["absent"] == wanted.absent
    assert said(by_id)["confidence"] < said(by_picture)["confidence"]
    filtered = client.post(
        "/api/search/pictures", files=upload, data={"where": f'{{"label": "{cars[20].parent.name}"}}'}
    )
    assert said(filtered) == {**said(by_picture), "confidence": None}
    buffer = io.BytesIO()
    Image.new("RGB", (80, 60), "white").save(buffer, "PNG")
    assert said(client.post("/api/search/pictures", files={"picture": buffer.getvalue()}))["absent"] is True

    for more in ({"learners": "2"}, {"learners": "1-2"}, {"id": name}, {"unlike_id": name}):
        assert said(client.post("/api/search/pictures", files=upload, data=more)) == UNTOLD, more

    (index.folder / FILE).write_text("{")
    for answer in (client.get("/api/info"), client.post("/api/search", json={"ids": [name]})):
        assert (answer.status_code, "cannot be used" in answer.json()["error"]) == (503, True)
    (index.folder / FILE).unlink()
    assert said(client.post("/api/search", json={"ids": [name]})) == UNTOLD
