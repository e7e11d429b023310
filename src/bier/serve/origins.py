"""Whether a request is meant for this server, and comes from its own page: `Host`, `Origin` and `Sec-Fetch-Site`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
PORTS = {"http": 80, "https": 443}
_OWN, _FOREIGN = {"same-origin", "none"}, {"same-site", "cross-site"}

Place = tuple[str, int | None]
"""A host in the form that is compared, and a port."""


def host_name(host: str) -> str:
    """The host of a `Host` header without its port, such as ``localhost`` or ``::1``; empty if it is none."""
    place = _place(host, None)
    return "" if place is None else place[0]


def is_foreign(sites: Sequence[str], origins: Sequence[str], host: str) -> bool:
    """Whether a page of somebody else asks, as far as the browser tells.

    Browsers send `Sec-Fetch-Site` over TLS and to this machine, and `Origin` everywhere. Programs send neither.

    Args:
        sites: the `Sec-Fetch-Site` headers; a value that is not in the standard does not count.
        origins: the `Origin` headers.
        host: the `Host` header. Without a port it means the default one of the origin's scheme.
    """
    told = {one.split(";")[0].strip().lower() for site in sites for one in site.split(",")}
    if told & _FOREIGN:
        return True
    if told and told <= _OWN:
        return False
    return not all(_is_origin_of(origin, host) for origin in origins)


def _is_origin_of(origin: str, host: str) -> bool:
    try:
        url = urlsplit(origin.strip())
    except ValueError:
        return False
    port = PORTS.get(url.scheme)  # "null" has no scheme
    there = _place(url.netloc, port)
    return port is not None and there is not None and there == _place(host, port)


def _place(text: str, port: int | None) -> Place | None:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+)(?::(\d{0,5}))?", text.strip())
    if match is None:
        return None
    return _normal(match[1]), int(match[2]) if match[2] else port


def _normal(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return host.lower().removesuffix(".")
