"""How templates of this room are read."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from bier.data.thumbnails import Thumbnails
from bier.report import classes, wording


def environment(thumbnail: int) -> Environment:
    """For pages with pictures of at most so many pixels."""
    # Autoescape: labels, paths and settings come from other people's files.
    made = Environment(
        loader=PackageLoader("bier.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(percent=wording.percent, words=wording.words, folder_and_name=wording.folder_and_name)
    made.filters["confusion_text"] = classes.confusion_text
    made.globals["thumbnail"] = Thumbnails(thumbnail)
    return made
