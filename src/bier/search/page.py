"""A search as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bier.data.box import Box
from bier.data.references import picture_bytes
from bier.data.thumbnails import Thumbnails
from bier.errors import ImageError
from bier.search.base import Hit
from bier.system.files import write_text

_SIDE = 240


def write_page(
    query: Path, hits: Sequence[Hit], out: Path, *, box: Box | None = None, count: int, how: str = ""
) -> None:
    """Query and hits as thumbnails with labels and scores; a picture that is gone is said to be missing.

    Args:
        query: the picture that was searched for.
        hits: what was found.
        out: the HTML file.
        box: the part of the query that was searched for.
        count: pictures in the index.
        how: how it was searched, in words.

    Raises:
        StorageError: the file cannot be written.
    """
    thumbnails = Thumbnails(_SIDE)

    def thumbnail(image: str) -> str | None:
        try:
            return thumbnails.of(picture_bytes(image))
        except ImageError:
            return None

    found = [
        {
            "id": hit.id,
            "label": hit.metadata.get("label"),
            "score": hit.score,
            "thumbnail": thumbnail(hit.metadata.get("image") or ""),
        }
        for hit in hits
    ]
    environment = Environment(loader=PackageLoader("bier.search", "."), autoescape=True, undefined=StrictUndefined)
    shown = {"name": query.name, "thumbnail": thumbnails(query, box)}
    write_text(out, environment.get_template("page.html").render(query=shown, hits=found, count=count, how=how))
