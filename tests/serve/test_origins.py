"""Who asks, as browsers tell it."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from bier.serve.origins import host_name, is_foreign

OWN = [
    ([], ["http://localhost:8000"], "localhost:8000"),
    ([], ["http://LocalHost:8000"], "localhost:8000"),
    ([], ["HTTP://localhost:8000"], "LOCALHOST:8000"),
    ([], ["http://shop.example"], "shop.example:80"),
    ([], ["http://shop.example:80"], "shop.example"),
    ([], ["https://shop.example"], "shop.example"),
    ([], ["https://shop.example"], "shop.example:443"),
    ([], ["http://[::1]:8000"], "[::1]:8000"),
    ([], ["http://[0:0:0:0:0:0:0:1]:8000"], "[::1]:8000"),
    ([], ["http://[2001:DB8::1]"], "[2001:db8::1]"),
    ([], ["http://a.example", "http://a.example"], "a.example"),
    (["same-origin"], ["https://shop.example"], "127.0.0.1:8000"),
    (["none"], [], "a.example"),
    (["something-new"], ["http://a.example"], "a.example"),
    ([], [], "a.example"),
]
FOREIGN = [
    ([], ["null"], "localhost:8000"),
    ([], [""], "localhost:8000"),
    ([], ["http://localhost:3000"], "localhost:8000"),
    ([], ["http://evil.example"], "shop.example"),
    ([], ["https://shop.example"], "shop.example:80"),
    ([], ["http://shop.example.evil.example"], "shop.example"),
    ([], ["http://shop.example@evil.example"], "shop.example"),
    ([], ["http://[::2]:8000"], "[::1]:8000"),
    ([], ["file://"], "localhost:8000"),
    ([], ["chrome-extension://abc"], "abc"),
    ([], ["http://["], "localhost"),
    ([], ["http://a.example", "http://evil.example"], "a.example"),
    ([], ["http://a.example http://evil.example"], "a.example"),
    (["cross-site"], [], "a.example"),
    (["cross-site;x=1"], [], "a.example"),
    (["Cross-Site"], [], "a.example"),
    (["same-site"], ["http://localhost:3000"], "localhost:8000"),
    (["same-origin", "cross-site"], ["http://a.example"], "a.example"),
    (["same-origin, cross-site"], ["http://a.example"], "a.example"),
    (["something-new"], ["http://evil.example"], "a.example"),
    (["something-new"], ["null"], "a.example"),
]


@pytest.mark.parametrize(("sites", "origins", "host"), OWN)
def test_own(sites: list[str], origins: list[str], host: str) -> None:
    assert not is_foreign(sites, origins, host)


@pytest.mark.parametrize(("sites", "origins", "host"), FOREIGN)
def test_foreign(sites: list[str], origins: list[str], host: str) -> None:
    assert is_foreign(sites, origins, host)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("LOCALHOST:8000", "localhost"),
        ("localhost.", "localhost"),
        ("[::1]:8000", "::1"),
        ("[0:0::1]", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::", ""),
        ("user@localhost", ""),
        ("localhost:8000:1", ""),
        ("", ""),
    ],
)
def test_host(host: str, name: str) -> None:
    assert host_name(host) == name


def test_over_plain_http_the_origin_tells(serve: Callable[..., httpx.Client]) -> None:
    """Without TLS a browser sends no Sec-Fetch-Site to a machine of the network."""
    client = serve()
    own = str(client.base_url).rstrip("/")
    for origin, status in ((own, 404), ("http://evil.example", 403), ("null", 403), (own.upper(), 404)):
        for path in ("/api/search", "/api/marks"):
            answer = client.post(path, json={"ids": ["none"]}, headers={"Origin": origin})
            assert answer.status_code == status, (origin, path, answer.text)
    assert client.get("/api/info", headers={"Origin": "http://evil.example"}).status_code == 200, "nothing is changed"
    behind_a_proxy = serve(token="sesame")
    headers = {"Origin": "http://shop.example", "Authorization": "Bearer sesame"}
    assert behind_a_proxy.post("/api/search", json={"ids": ["none"]}, headers=headers).status_code == 404
