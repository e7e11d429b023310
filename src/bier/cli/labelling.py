"""``bier data next`` and ``bier data join``: which pictures to label, and their labels beside the old ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from bier.cli.app import ClassDepth, output, terminal
from bier.cli.training import data

SHOWN = 10
"""Proposals that are printed."""
Source = Annotated[str | None, Parameter(help="The run's pictures. [default: where they were in training]")]


@data.command
def next(
    run: Annotated[Path, Parameter(help="A run's folder.")],
    *catalogue: Annotated[
        Path, Parameter(help="Pictures without labels: a folder, a table, or tar files; also by URL.")
    ],
    count: Annotated[int, Parameter(help="Pictures to propose.", validator=Number(gte=1))] = 200,
    all: Annotated[
        bool, Parameter(help="Propose pictures with labels as well, where folders are no classes.", negative="")
    ] = False,
    class_depth: ClassDepth = None,
    source: Source = None,
    html: Annotated[Path | None, Parameter(help="Also write a page here, to label the pictures on.")] = None,
    out: Annotated[Path | None, output("CSV file of the proposals.")] = None,
) -> None:
    """Propose the pictures of a catalogue whose labels would help most.

    The page takes labels by the keyboard, and gives a table for `bier data join`.
    """
    from bier.errors import ConfigError, quoted
    from bier.report.labelling import write_labelling
    from bier.runs.proposals import proposals, write_csv

    if not catalogue:
        raise ConfigError(
            "no catalogue given", where="bier data next", remedy=f"write: bier data next {quoted(run)} new-photos/"
        )
    console = terminal()
    found = proposals(run, catalogue, count, console, source=source, everything=all, class_depth=class_depth)
    for note in found.notes:
        console.print(note, soft_wrap=True)
    console.print(f"{len(found.chosen):,} of {found.looked_at:,} pictures without labels to label next")
    for proposal in found.chosen[:SHOWN]:
        console.print(f"{proposal.image}: {proposal.suggested[0]}? {proposal.reason}", soft_wrap=True)
    if out is not None:
        write_csv(found, out)
        console.print(f"all of them: {out}", soft_wrap=True)
    if html is not None:
        shown = write_labelling(
            found.chosen,
            html,
            run=run.resolve().name,
            catalogue=found.catalogue,
            titles=found.titles,
            examples=found.examples,
            cropped=found.cropped,
        )
        left = "" if shown == len(found.chosen) else f" (the first {shown:,})"
        console.print(f"page: {html}{left}", soft_wrap=True)


@data.command
def join(
    run: Annotated[Path, Parameter(help="A run's folder.")],
    *labels: Annotated[str, Parameter(help="Tables of new labels, such as the page of `bier data next` gives.")],
    source: Source = None,
    out: Annotated[Path, output("CSV file of all pictures.")],
) -> None:
    """Write the pictures of a run and new labels into one table, which `bier train` takes.

    A picture of the run that has another label in a new table gets that one.
    """
    from bier.errors import ConfigError, quoted
    from bier.report.wording import count
    from bier.runs.joining import join as joined
    from bier.runs.joining import write_table

    if not labels:
        raise ConfigError(
            "no table of labels given",
            where="bier data join",
            remedy=f"write: bier data join {quoted(run)} labels.csv -o {quoted(out)}",
        )
    console = terminal()
    found = joined(run, labels, source, console)
    write_table(found, out)
    for note in found.notes:
        console.print(note, soft_wrap=True)
    parts = [
        count(found.added, "new picture"),
        count(len(found.new_classes), "new class", "new classes"),
        count(found.changed, "changed label"),
    ]
    console.print(
        f"{', '.join(parts)}; {len(found.rows):,} pictures in {out}\nnext: bier train {quoted(out)}",
        soft_wrap=True,
    )
