"""Fields of every kind over HTTP and on the page: typed answers, ranges, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import expect

from bier.search import Index, IndexInfo, create_index, open_index

Serve = Callable[..., httpx.Client]
Open = Callable[..., Any]


@pytest.fixture
def products(tmp_path: Path, folder: Path) -> Index:
    """Sixty pictures: prices from 0.5 to 59.5, every second one sold, tags of the first ten."""
    with open_index(folder) as cars:
        [rows] = cars.scan()
        about = cars.info
    types = {"price": "decimal", "sold": "yes/no", "tags": "texts"}
    info = IndexInfo(
        about.model,
        about.sizes,
        about.scales,
        model_path=about.model_path,
        fields=("image", "label", "price", "sold", "tags", "url"),
        types=types,  # type: ignore[arg-type]
    )
    more = [
        {
            "price": n + 0.5,
            "sold": n % 2 == 0,
            "tags": ["new", "red"] if n < 10 else None,
            "url": "https://shop.example",
        }
        for n in range(len(rows))
    ]
    index = create_index(tmp_path / "products", info, "exact")
    index.add(rows.ids, rows.vectors, [old | new for old, new in zip(rows.metadata, more, strict=True)])
    return index


def test_typed_filters_over_http(serve: Serve, products: Index) -> None:
    client = serve(index=products)
    info = client.get("/api/info").json()
    assert info["types"] == {"price": "decimal", "sold": "yes/no", "tags": "texts"}

    def prices(where: dict[str, Any]) -> list[float]:
        listed = client.get("/api/pictures", params={"where": json.dumps(where), "limit": 100}).json()
        example = listed["pictures"][0]["id"] if listed["pictures"] else "none"
        asked = {"ids": [example], "where": where, "top": 100}
        hits = client.post("/api/search", json=asked).json()["hits"] if listed["pictures"] else []
        assert len(hits) == max(0, listed["count"] - 1)  # without the example
        return sorted(picture["metadata"]["price"] for picture in listed["pictures"])

    assert prices({"price": {"at_least": 10, "below": 12.5}}) == [10.5, 11.5]
    assert prices({"price": 7.5}) == [7.5]
    assert prices({"price": {"above": 55}, "sold": True}) == [56.5, 58.5]
    assert prices({"tags": "red", "price": {"not": [0.5, 1.5], "at_most": 3}}) == [2.5]
    assert len(prices({"tags": {"is": None}})) == 50

    page = client.get("/api/pictures", params={"where": '{"price": 3.5}'}).json()
    metadata = page["pictures"][0]["metadata"]
    assert (metadata["sold"], metadata["tags"]) == (False, ["new", "red"])
    values = client.get("/api/values", params={"field": "price", "limit": 3}).json()["values"]
    assert values == [{"value": number, "count": 1} for number in (0.5, 1.5, 2.5)]
    assert {
        one["value"]: one["count"] for one in client.get("/api/values", params={"field": "tags"}).json()["values"]
    } == {"new": 10, "red": 10, None: 50}
    for where, message in [
        ({"prise": 3}, "no field 'prise'"),
        ({"price": "cheap"}, "cannot be a value of the field 'price'"),
        ({"label": {"below": "x"}}, "has no order"),
        ({"price": {"less": 3}}, ""),
        ({"price": {}}, "has no condition"),
    ]:
        refused = client.get("/api/pictures", params={"where": json.dumps(where)})
        assert refused.status_code == 422
        assert message in refused.json()["error"]


@pytest.mark.slow
def test_a_range_is_typed_into_the_filter(serve: Serve, visit: Open, products: Index) -> None:
    page = visit(serve(index=products))
    page.select_option("#filter-field", "price")
    page.fill("#filter-value", "10 to 12")
    page.press("#filter-value", "Enter")
    expect(page.locator("#chips")).to_contain_text("price at least 10, at most 12")
    expect(page.locator("#pictures .hit:not(.away)")).to_have_count(2)
    page.reload()
    expect(page.locator("#pictures .hit:not(.away)")).to_have_count(2)
    page.locator("#pictures .look").first.click()
    expect(page.locator("#look-fields")).to_contain_text("10.5")
    expect(page.locator("#look-fields")).to_contain_text("yes")
    expect(page.locator("#look-fields a")).to_have_attribute("href", "https://shop.example/")
