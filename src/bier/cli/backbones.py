"""``bier backbones``: names for ``model.backbone``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bier.cli.app import app, terminal

if TYPE_CHECKING:
    from bier.network.names import Tried

HEADINGS = ("name", "params", "width", "size", "step", "licence", "weights", "here")


@app.command
def backbones(
    word: Annotated[
        str | None, Parameter(help="A family such as dinov2, or part of a name such as base. [default: all]")
    ] = None,
) -> None:
    """List the networks that were tried, by family, with what their weights weigh and where they come from.

    Any other name that timm knows trains as well. With a word, such names are listed too.
    """
    from bier.errors import ConfigError
    from bier.network.names import not_tried, tried

    found, others = tried(word or ""), not_tried(word) if word else []
    if not found and not others:
        raise ConfigError(
            f"no backbone has {word!r} in its name", where="bier backbones", remedy="`bier backbones` lists those tried"
        )
    console = terminal()
    for line in (*_table(found), *_others(others)):
        console.print(line, soft_wrap=True)


def _table(found: Sequence[Tried]) -> Iterator[str]:
    rows = [(each.family, _row(each)) for each in found]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *(row for _, row in rows), strict=True)]
    for family, group in groupby(rows, key=lambda pair: pair[0]):
        yield family
        for row in (HEADINGS, *(cells for _, cells in group)):
            yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    if found:
        yield "params in millions; size: in pixels, as the weights know it; step: sizes are multiples of it"
        yield "here: whether the weights are installed or cached on this machine"


def _others(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"not tried, but known to timm: {', '.join(names)}"


def _row(each: Tried) -> tuple[str, ...]:
    from bier.network.names import FAMILIES

    family, member = FAMILIES[each.family], each.member
    weights = family.weights(member.name) if family.weights else None
    return (
        member.name,
        f"{member.parameters / 1e6:.1f}",
        str(member.features),
        str(family.sizes(member.name).usual),
        "-" if member.step == 1 else str(member.step),
        *((weights.licence, weights.place, "yes" if weights.installed else "no") if weights else ("-", "-", "-")),
    )
