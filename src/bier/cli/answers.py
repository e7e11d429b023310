"""What ``bier search`` says: the hits, and how sure they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bier.cli.app import terminal
from bier.data.fields import shown

if TYPE_CHECKING:
    from bier.search import Answer, Hit


def withhold(answer: Answer, least: float | None) -> Answer:
    """The answer, without its hits where they are less likely right than that."""
    unsure = least is not None and (answer.confidence is None or answer.confidence < least)
    return replace(answer, hits=[]) if unsure else answer


def print_answer(answer: Answer, least: float | None) -> None:
    """For a person."""
    if answer.hits or least is None:
        _print_hits(answer.hits)
    else:
        terminal().print(f"no answer with a confidence of {least:g} or more")
    if said := in_words(answer):
        terminal().print(said)
    if answer.expected is not None:
        terminal().print(f"{answer.expected.in_words()}; --exact looks at all pictures", soft_wrap=True)


def print_json(answer: Answer) -> None:
    """For a program: one object, on one line."""
    hits = [
        {"id": hit.id, "score": hit.score, "reranked": hit.reranked, "metadata": hit.metadata} for hit in answer.hits
    ]
    content: dict[str, Any] = {
        "hits": hits,
        "confidence": answer.confidence,
        "known": answer.known,
        "absent": answer.absent,
        "exact": answer.expected is None,
        "recall": None if answer.expected is None else answer.expected.recall,
    }
    terminal().print(json.dumps(content), soft_wrap=True)


def in_words(answer: Answer) -> str:
    """How sure an answer is; nothing if that cannot be told."""
    chances = {"confidence": answer.confidence, "known": answer.known}
    told = ", ".join(f"{name} {chance:.2f}" for name, chance in chances.items() if chance is not None)
    return f"probably not in this catalogue: {told}" if answer.absent else told


def _print_hits(hits: Sequence[Hit]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    again = any(hit.reranked is not None for hit in hits)
    for heading in ("re-ranked", "score") if again else ("score",):
        table.add_column(heading, justify="right")
    table.add_column("label")
    table.add_column("picture", overflow="fold")
    known = any(map(_more, hits))
    if known:
        table.add_column("fields", overflow="fold")
    for hit in hits:
        texts = [hit.metadata.get("label") or "", hit.metadata.get("image") or hit.id, *([_more(hit)] * known)]
        order = ["–" if hit.reranked is None else f"{hit.reranked:.4f}"] if again else []
        table.add_row(*order, f"{hit.score:.4f}", *map(Text, texts))
    terminal().print(table if hits else "nothing found")


def _more(hit: Hit) -> str:
    """What else is known of it, as ``price=20``, a line for each."""
    known = {name: shown(value) for name, value in hit.metadata.items() if name not in ("image", "label")}
    return "\n".join(f"{name}={text}" for name, text in known.items() if text)
