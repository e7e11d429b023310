"""``bier data suspects``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bier.cli.app import output, terminal
from bier.cli.training import data

SHOWN = 10
"""Suspects that are printed."""


@data.command
def suspects(
    run: Annotated[Path, Parameter(help="A run's folder.")],
    *,
    source: Annotated[str | None, Parameter(help="Its pictures. [default: where they were in training]")] = None,
    html: Annotated[Path | None, Parameter(help="Also write a page with pictures here.")] = None,
    out: Annotated[Path | None, output("CSV file of all suspects.")] = None,
) -> None:
    """List training pictures whose label is probably wrong, the most suspicious first.

    Each comes with the label that fits better and the pictures that speak for it. Nothing is changed.
    """
    from bier.report.suspects import write_suspects
    from bier.runs.suspects import suspects as find
    from bier.runs.suspects import write_csv

    console = terminal()
    found = find(run, source, console)
    console.print(f"{found.pictures:,} of {found.judged:,} training pictures may have a wrong label", soft_wrap=True)
    for suspect in found.found[:SHOWN]:
        image, label, better, suspicion, _ = suspect.row
        console.print(f"{suspicion}  {image}: {label}, rather {better}", soft_wrap=True)
    if out is not None:
        write_csv(found, out)
        console.print(f"all of them: {out}", soft_wrap=True)
    if html is not None:
        write_suspects(found.found, html, run=run.resolve().name, judged=found.labels, cropped=found.cropped)
        console.print(f"page: {html}", soft_wrap=True)
