"""``bier search`` where a server that runs already has the model in memory: nothing heavy is imported here."""

from __future__ import annotations

import json
import os
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bier.errors import DataError, SearchError

if TYPE_CHECKING:
    from bier.search import Answer

SECONDS = 60.0
"""Longest wait for an answer."""


def is_server(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def ask(
    server: str,
    picture: Path,
    *,
    top: int,
    where: Sequence[str],
    learners: str | None,
    rerank: str | None,
    exact: bool,
    box: Sequence[float] | None,
    judged: bool,
) -> Answer:
    """The answer of a server of `bier serve`. Where it wants a token, that is ``BIER_TOKEN``.

    Args:
        server: its address, such as ``http://127.0.0.1:8000``.
        picture: is sent to it.
        top: how many hits.
        where: filters as a person types them.
        learners: which of them answer; none given: all.
        rerank: how the first hits are ranked again; none given: as the server does.
        exact: look at all pictures.
        box: the part that is meant; none given: all of it.
        judged: a confidence is wanted.

    Raises:
        DataError: the picture cannot be read.
        SearchError: there is no such server, it refuses, or it has no calibration and a confidence is wanted.
    """
    from bier.search.base import Hit
    from bier.search.confident import Answer
    from bier.search.expected import Expected
    from bier.search.filters import parse_filters

    about = _asked(server, "info")
    if judged and not about["calibrated"]:
        raise SearchError(
            "has no calibration, so no confidence is known",
            where=server,
            remedy="calibrate the index that it serves: bier calibrate INDEX LABELLED",
        )
    kinds = {name: about["types"].get(name, "text") for name in about["fields"]}
    values = {
        "top": str(top),
        "where": json.dumps(parse_filters(where, kinds)),
        "exact": json.dumps(exact),
        "learners": learners,
        "rerank": rerank,
        "box": None if box is None else json.dumps(list(box)),
    }
    try:
        content = picture.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=picture, remedy="give a picture") from error
    body, kind = _form({name: value for name, value in values.items() if value is not None}, picture.name, content)
    found = _asked(server, "search/pictures", body, kind)
    hits = [Hit(hit["id"], hit["score"], hit["metadata"], hit["reranked"]) for hit in found["hits"]]
    expected = None if found.get("exact", True) else Expected(found["recall"])  # servers before 0.2 do not tell
    return Answer(hits, found["confidence"], found["known"], found["absent"], expected)


def _form(values: dict[str, str], name: str, content: bytes) -> tuple[bytes, str]:
    """A body of fields and a picture, and its type."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in values.items()
    ]
    plain = re.sub(r'["\\\r\n]', "_", name).encode("utf-8", "replace").decode()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="{plain}"\r\n\r\n'.encode()
    body = b"".join([*parts, head, content, f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"


def _asked(server: str, what: str, body: bytes | None = None, kind: str | None = None) -> dict[str, Any]:
    request = urllib.request.Request(f"{server.rstrip('/')}/api/{what}", body)
    if kind is not None:
        request.add_header("Content-Type", kind)
    if (token := os.environ.get("BIER_TOKEN")) is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise _refused(server, error) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SearchError(
            f"gives no answer ({reason})",
            where=server,
            remedy="give the address of a running `bier serve`, or the folder of an index",
        ) from error
    return found


def _refused(server: str, error: urllib.error.HTTPError) -> SearchError:
    """What the server said, with its remedy."""
    try:
        said = json.load(error)
        what, remedy = str(said["error"]), said["remedy"]
    except (OSError, ValueError, KeyError, TypeError):
        what, remedy = f"answers {error.code}, {error.reason}", None
    if error.code == 401:
        remedy = "set BIER_TOKEN to the server's token"
    return SearchError(what, where=server, remedy=remedy or "give the address of a running `bier serve`")
