"""A search as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bier.data.box import Box
from bier.data.fields import Kinds
from bier.data.fields import shown as in_words
from bier.data.thumbnails import Thumbnails
from bier.search.base import Hit
from bier.system.files import write_text
from bier.vectors.objects import box_of

_SIDE = 240


def write_page(
    query: Path,
    hits: Sequence[Hit],
    out: Path,
    *,
    box: Box | None = None,
    count: int,
    how: str = "",
    kinds: Kinds | None = None,
) -> None:
    """Query and hits as thumbnails with labels and scores; a picture that is gone is said to be missing.

    Args:
        query: the picture that was searched for.
        hits: what was found.
        out: the HTML file.
        box: the part of the query that was searched for.
        count: pictures in the index.
        how: how it was searched, in words.
        kinds: of the index's fields; of an object, the part of its picture is shown.

    Raises:
        StorageError: the file cannot be written.
    """
    thumbnails = Thumbnails(_SIDE)
    found = [
        {
            "id": hit.id,
            "label": hit.metadata.get("label"),
            "fields": _fields(hit),
            "url": _link(hit),
            "score": hit.score,
            "thumbnail": thumbnails(hit.metadata.get("image") or "", box_of(hit.metadata, kinds or {})),
        }
        for hit in hits
    ]
    environment = Environment(loader=PackageLoader("bier.search", "."), autoescape=True, undefined=StrictUndefined)
    shown = {"name": query.name, "thumbnail": thumbnails(query, box)}
    write_text(out, environment.get_template("page.html").render(query=shown, hits=found, count=count, how=how))


def _fields(hit: Hit) -> dict[str, str]:
    """What else is known of it."""
    known = {name: in_words(value) for name, value in hit.metadata.items() if name not in ("image", "label", "url")}
    return {name: text for name, text in known.items() if text}


def _link(hit: Hit) -> str | None:
    """The address that it leads to; others than those of the web may run a program."""
    url = hit.metadata.get("url")
    return url if isinstance(url, str) and url.lower().startswith(("http://", "https://")) else None
