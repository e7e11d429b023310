"""What draws a map of pictures in a browser: a script and a style, the same for reports and for the search page."""

from __future__ import annotations

from importlib.resources import files

SCRIPT, START, STYLE = "map.js", "map-start.js", "map.css"
"""What draws, what starts it in a report, and how it looks."""


def drawing(name: str) -> str:
    """The text of one of the files."""
    return (files("bier.report") / name).read_text(encoding="utf-8")
