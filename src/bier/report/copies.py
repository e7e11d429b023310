"""Pictures that are nearly the same, as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bier.records.pictures import Picture
from bier.report.environment import environment
from bier.report.wording import count
from bier.system.files import write_text

SHOWN = 200
"""Pairs on the page."""
_SIDE = 112


@dataclass(frozen=True)
class ShownCopy:
    """A picture that may go, and the one that shows the same; their names are what the page calls them."""

    keep: Picture
    other: Picture
    similarity: float


def write_copies(copies: Sequence[ShownCopy], out: Path, *, source: str, cropped: bool = False) -> None:
    """Each copy beside the picture to keep.

    Args:
        copies: the most similar first; the page shows `SHOWN` of them.
        out: the HTML file.
        source: what the pictures are of.
        cropped: show what is in their boxes, where they have any.

    Raises:
        StorageError: the file cannot be written.
    """
    shown = {
        "title": f"{count(len(copies), 'picture')} more than needed",
        "copies": copies[:SHOWN],
        "found": len(copies),
        "source": source,
        "cropped": cropped,
    }
    write_text(out, environment(_SIDE).get_template("copies.html").render(shown))
