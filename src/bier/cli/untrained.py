"""``bier model``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from bier.cli.app import app, output, terminal
from bier.cli.training import Set

MOST_PICTURES = 10_000
"""As `bier.runs.untrained` has it, which is imported when it is needed."""


@app.command
def model(
    backbone: Annotated[str, Parameter(help="A pretrained network: efficientnet_lite0, or any name that timm knows.")],
    *images: Annotated[Path, Parameter(help="A folder, a table, a benchmark's directory, or tar files; no labels.")],
    out: Annotated[Path, output("File of the model, such as model.safetensors.")],
    most: Annotated[int, Parameter(help="Pictures to look at; chance draws them.", validator=Number(gte=2))] = (
        MOST_PICTURES
    ),
    set_: Set = (),
) -> None:
    """Make a model without labels and without training: a pretrained network, whitened on your pictures.

    Searching with it takes one more command. Training on labels has to beat it.
    """
    from bier.errors import ConfigError, quoted
    from bier.runs.untrained import make_model
    from bier.settings.reading import load

    if not images:
        raise ConfigError(
            "no pictures given",
            where="bier model",
            remedy=f"write: bier model {quoted(backbone)} photos/ -o {quoted(out)}",
        )
    console = terminal()
    config = load(None, set_).replace(model__backbone=backbone)
    made = make_model(images, config, out, console, most=most)
    for line in made.remarks:
        console.print(line, soft_wrap=True)
    unreadable = f"; {made.unreadable:,} cannot be read" if made.unreadable else ""
    console.print(f"looked at {made.pictures:,} of {made.found:,} pictures{unreadable}", soft_wrap=True)
    console.print(
        f"{out}: {backbone} at {made.size} px, learners of {' + '.join(map(str, made.sizes))} dimensions, whitened "
        "without labels",
        soft_wrap=True,
    )
    pictures = quoted(images[0]) if len(images) == 1 else "PICTURES"
    console.print(f"next: bier index {pictures} -o INDEX --model {quoted(out)}, then bier serve INDEX", soft_wrap=True)
