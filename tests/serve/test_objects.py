"""An index of objects over HTTP and on the page: a result is a part of its picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from objects import BOXES, IDS, street
from pages import NARROW, expect, keep, until
from PIL import Image

from bier.search import Index, IndexInfo, create_index
from bier.search.fill import fill
from bier.vectors.catalogue import embedded
from bier.vectors.encoder import Encoder
from bier.vectors.sources import open_catalogue

Serve = Callable[..., httpx.Client]
Open = Callable[..., Any]
KINDS = {"price": "whole", "bbox": "box"}


def objects(folder: Path, encoder: Encoder, table: Path) -> Index:
    fields = ("image", "label", *KINDS)
    made = create_index(
        folder, IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales, fields=fields, types=KINDS), "exact"
    )
    fill(made, embedded(encoder, open_catalogue(table, objects=True), pytest.fail))
    return made


def test_a_thumbnail_shows_the_object_or_all_of_its_picture(serve: Serve, encoder: Encoder, tmp_path: Path) -> None:
    table = street(tmp_path / "photos")
    client = serve(index=objects(tmp_path / "index", encoder, table))
    assert client.get("/api/info").json()["types"] == KINDS

    def picture(**asked: object) -> np.ndarray:
        content = client.get("/api/thumbnail", params=asked).raise_for_status().content
        return np.asarray(Image.open(io.BytesIO(content))).astype(int)

    original = np.asarray(Image.open(table.parent / "street.png")).astype(int)
    for name, box in list(zip(IDS, BOXES, strict=True))[:2]:
        left, top, width, height = map(int, box or ())
        part = original[top : top + height, left : left + width]
        for side in ("320", "full", "320"):
            assert picture(id=name, side=side).shape == part.shape
        assert np.abs(picture(id=name) - part).mean() < 12  # what JPEG makes of it
        assert np.abs(picture(id=name, whole=True, side="full") - original).mean() < 12
    assert picture(id=IDS[2]).shape == picture(id=IDS[2], whole=True).shape == (32, 40, 3)

    found = client.post("/api/search", json={"ids": [IDS[0]]}).json()["hits"]
    assert {hit["id"]: hit["metadata"]["bbox"] for hit in found} == {
        IDS[1]: "20,0,20,16",
        IDS[2]: None,
        IDS[3]: "5.5,15,20.25,30",
    }


@pytest.fixture
def birds(photographs: Path, tmp_path: Path) -> Path:
    """Two photographs with three boxes each."""
    root = tmp_path / "birds"
    root.mkdir()
    rows = ["image,label,bbox"]
    for number, picture in enumerate(sorted((photographs / "cub100" / "images").rglob("*.jpg"))[:60:30]):
        with Image.open(picture) as opened:
            opened.convert("RGB").resize((1200, 900)).save(root / f"{number}.jpg")
        rows += [f"{number}.jpg,{label},{box}" for label, box in (("bird", "300 200 500 450"), ("sky", "0 0 400 300"))]
        rows.append(f"{number}.jpg,corner,1000 700 300 300")
    (root / "objects.csv").write_text("\n".join(rows), encoding="utf-8")
    return root / "objects.csv"


@pytest.mark.slow
def test_the_page_shows_objects_and_where_they_are(
    serve: Serve, visit: Open, encoder: Encoder, birds: Path, tmp_path: Path
) -> None:
    client = serve(index=objects(tmp_path / "index", encoder, birds))
    for name, options in (
        ("laptop", {}),
        ("phone", {"viewport": NARROW, "is_mobile": True, "has_touch": True}),
        ("dark", {"color_scheme": "dark"}),
    ):
        page = visit(client, **options)
        expect(page.locator("#pictures .hit img")).to_have_count(6)
        expect(page.locator("#filter-field option")).to_have_count(2)  # label and price, and no boxes
        keep(page, f"objects-{name}", tmp_path)
        bird = page.locator("#pictures .hit").filter(has=page.locator('.label[title="0.jpg#300,200,500,450"]'))
        bird.locator(".look").click()
        expect(page.locator("#look")).to_be_visible()
        expect(page.locator("#look-box")).to_be_hidden()
        assert page.evaluate("document.getElementById('look-picture').naturalWidth") == 500
        keep(page, f"object-{name}", tmp_path)
        page.locator("#look-full").click()
        expect(page.locator("#look-box")).to_be_visible()
        until(page, "document.getElementById('look-picture').naturalWidth === 1200")
        keep(page, f"object-in-picture-{name}", tmp_path)
        share = page.evaluate(
            "(() => { const box = document.getElementById('look-box').getBoundingClientRect(),"
            " picture = document.getElementById('look-picture').getBoundingClientRect();"
            " return [(box.left - picture.left) / picture.width, box.height / picture.height]; })()"
        )
        assert share == pytest.approx([300 / 1200, 450 / 900], abs=0.01)
        page.locator("#look button", has_text="Search from here").click()
        expect(page.locator("#pictures .value").first).to_be_visible()
        page.locator("#examples .part").click()
        expect(page.locator("#part-text")).to_have_text("500 × 450 pixels, from 300, 200")
        expect(page.locator("#part-whole")).to_have_text("The object")
        keep(page, f"part-of-object-{name}", tmp_path)
        page.locator("#part-close").click()
