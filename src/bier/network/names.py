"""Names of backbones: which family one belongs to, and which were tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bier.errors import ModelError
from bier.network.family import Family, Member
from bier.system.registry import Registry

FAMILIES: Registry[Family] = Registry("family of backbones", "bier.network.families", "bier.backbones")
"""A file there, or an entry point ``bier.backbones`` of another package, adds one."""

SHORTEST_WORD = 3
"""Letters of a part of a name, at least, to list the names that have it."""
SHOWN = 8
"""Names in a message, at most."""


@dataclass(frozen=True)
class Tried:
    """A network that was tried, and its family."""

    family: str
    member: Member


def family_of(name: str) -> Family:
    """The family that knows the name; timm, which complains of unknown ones, is asked last."""
    others = (FAMILIES[key] for key in FAMILIES if key != "timm")
    return next((family for family in others if family.knows(name)), FAMILIES["timm"])


def tried(word: str = "") -> list[Tried]:
    """The networks that were tried: those of the family of that name, and those whose names contain the word."""
    return [each for each in _all_tried() if word == each.family or word in each.member.name]


def not_tried(word: str) -> list[str]:
    """Other names with the word that timm knows, without tags."""
    import timm

    architectures = {each.member.name.partition(".")[0] for each in _all_tried()}
    return [name for name in timm.list_models() if word in name and name not in architectures]


def refuse_word(name: str) -> None:
    """Raise ModelError where a name is none, but that of a family or a part of names; it tells these."""
    if len(name) < SHORTEST_WORD or not _is_word(name):
        return
    found = [each.member.name for each in tried(name)] or not_tried(name)
    if found:
        raise ModelError(
            f"unknown backbone {name!r}",
            where="name",
            remedy=f"choose one of: {_listed(found)}. `bier backbones {name}` tells more",
        )


def _is_word(name: str) -> bool:
    import timm

    own = any(FAMILIES[key].knows(name) for key in FAMILIES if key != "timm")
    return not (own or ":" in name or timm.is_model(name.partition(".")[0]))


def _all_tried() -> Iterator[Tried]:
    for key in FAMILIES:
        for member in FAMILIES[key].members:
            yield Tried(key, member)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
