"""The map of a run's test pictures, as the page holds it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from bier.data.sheets import sheets
from bier.records.run import RunRecords
from bier.records.run_map import RunMap
from bier.report.drawing import SCRIPT, START, drawing
from bier.report.wording import count

PICTURES = 2000
"""Small pictures on one page, shared out among the runs: some 6 MB."""
SIDE = 96
"""Their longest side in pixels."""


@dataclass(frozen=True)
class ShownMap:
    """What the page says of a map, and its data."""

    told: str
    data: str = ""
    """JSON for the script, without any ``<``; empty for a map that is left out."""


def shown_map(run: RunRecords, pictures: int) -> ShownMap | None:
    """The map of a run with at most so many small pictures; None if the run has none.

    Raises:
        DataError: the file is broken.
    """
    drawn = RunMap.load(run.folder)
    if drawn is None:
        return None
    if drawn.created != run.metrics.created:
        return ShownMap("The map in this run’s folder is of an earlier evaluation, and is left out.")
    chosen = np.sort(np.random.default_rng(0).permutation(len(drawn.ids))[:pictures]).tolist()
    cropped = run.setting("data.crop_to_bbox") is True
    shown = [(drawn.pictures[row].image, drawn.pictures[row].bbox if cropped else None) for row in chosen]
    made = sheets(shown, SIDE)
    content = {
        "ids": drawn.ids,
        "x": drawn.x,
        "y": drawn.y,
        "labels": [picture.title for picture in drawn.pictures],
        "right": drawn.right,
        "sheets": made.uris,
        "places": dict(zip(chosen, made.places, strict=True)),
        "file": f"{run.name}-ids.txt",
    }
    return ShownMap(_told(drawn, len(chosen)), _plain(content))


def _told(drawn: RunMap, pictures: int) -> str:
    which = count(len(drawn.ids), "test picture")
    if drawn.of > len(drawn.ids):
        which = f"{which}, drawn at random from {drawn.of:,}"
    shown = "" if pictures == len(drawn.ids) else f" To keep the page small, {pictures:,} of them show their picture."
    return f"{which}. The nearer two lie, the more alike they are to the model.{shown}"


def _plain(content: Any) -> str:
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")  # no text ends the script


def script() -> str:
    """What draws all maps of a page."""
    return f"\n{drawing(SCRIPT)}\n{drawing(START)}"


def permission() -> str:
    """What the page's policy says so that this script runs, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()}'"
