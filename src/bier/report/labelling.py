"""Pictures to give labels to with the keyboard, as one HTML page that needs no server."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from markupsafe import Markup

from bier.data.thumbnails import Thumbnails
from bier.records.pictures import Picture
from bier.report.environment import environment
from bier.report.wording import count, folder_and_name, words
from bier.system.files import write_text

SHOWN = 500
"""Pictures on the page."""
_SIDE = 480
_EXAMPLE_SIDE = 88


class Proposal(Protocol):
    """As `bier.runs.proposals` finds them."""

    @property
    def image(self) -> str: ...
    @property
    def suggested(self) -> Sequence[str]: ...
    @property
    def reason(self) -> str: ...


def write_labelling(
    proposals: Sequence[Proposal],
    out: Path,
    *,
    run: str,
    catalogue: str,
    titles: Mapping[str, str],
    examples: Mapping[str, Picture],
    cropped: bool,
) -> int:
    """A page that shows each picture with suggested labels, and gives ``labels.csv``.

    Args:
        proposals: in order; the page shows `SHOWN` of them.
        out: the HTML file.
        run: its name.
        catalogue: what the pictures are of.
        titles: of each known label, what people call it.
        examples: a picture of each label that is suggested.
        cropped: show the boxes of examples alone.

    Returns:
        How many pictures are on the page.

    Raises:
        StorageError: the file cannot be written.
    """
    shown = proposals[:SHOWN]
    large, small = Thumbnails(_SIDE), Thumbnails(_EXAMPLE_SIDE)
    suggested = dict.fromkeys(label for proposal in shown for label in proposal.suggested)
    content = {
        "id": hashlib.sha256("\n".join(proposal.image for proposal in shown).encode()).hexdigest()[:16],
        "known": [(label, words(title)) for label, title in titles.items()],
        "examples": {
            label: small(picture.image, picture.bbox if cropped else None)
            for label in suggested
            if (picture := examples.get(label)) is not None
        },
        "pictures": [
            {
                "image": proposal.image,
                "name": folder_and_name(proposal.image),
                "shown": large(proposal.image),
                "suggested": list(proposal.suggested),
                "reason": proposal.reason,
            }
            for proposal in shown
        ],
    }
    script = files("bier.report").joinpath("labelling.js").read_text(encoding="utf-8")
    page = environment(_SIDE).get_template("labelling.html")
    text = page.render(
        title=f"{count(len(shown), 'picture')} to label",
        run=run,
        catalogue=catalogue,
        content=_json(content),
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_text(out, text)
    return len(shown)


def _json(content: Any) -> Markup:
    """For a script element, which ends where ``</script`` stands."""
    return Markup(json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"))
