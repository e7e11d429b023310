"""Labels that are probably wrong, as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bier.records.pictures import Picture
from bier.report.environment import environment
from bier.report.wording import count
from bier.system.files import write_text

SHOWN = 100
"""Suspects on the page."""
_SIDE = 112


class Suspect(Protocol):
    """As `bier.runs.suspects` finds them."""

    @property
    def picture(self) -> Picture: ...
    @property
    def better(self) -> Picture: ...
    @property
    def suspicion(self) -> float: ...
    @property
    def neighbours(self) -> tuple[Picture, ...]: ...


def write_suspects(found: Sequence[Suspect], out: Path, *, run: str, judged: int, cropped: bool) -> None:
    """Each suspect beside the pictures that speak for another label.

    Args:
        found: the most suspicious first; the page shows `SHOWN` of them.
        out: the HTML file.
        run: its name.
        judged: labels that were looked at.
        cropped: show the boxes of pictures alone.

    Raises:
        StorageError: the file cannot be written.
    """
    shown = {
        "title": f"{count(len(found), 'label')} of {judged:,} may be wrong",
        "suspects": found[:SHOWN],
        "found": len(found),
        "run": run,
        "cropped": cropped,
    }
    write_text(out, environment(_SIDE).get_template("suspects.html").render(shown))
