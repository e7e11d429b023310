"""All settings as lists, each with its dotted name, type, value and meaning."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bier.settings.fields import ABOUT, About

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Entry:
    """One setting among all.

    Attributes:
        section: the first part of its dotted name; empty for a setting outside the sections.
        name: the last part of it.
        hint: its type.
        value: what it is in the settings that were asked.
        about: its meaning and range.
    """

    section: str
    name: str
    hint: Any
    value: object
    about: About

    @property
    def key(self) -> str:
        """The dotted name."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def choices(self) -> tuple[object, ...]:
        """All its values, where they are words or numbers of a ``Literal``; None may be another."""
        union = typing.get_origin(self.hint) in (typing.Union, types.UnionType)
        kinds = [kind for kind in (typing.get_args(self.hint) if union else (self.hint,)) if kind is not type(None)]
        return typing.get_args(kinds[0]) if len(kinds) == 1 and typing.get_origin(kinds[0]) is Literal else ()


@dataclass(frozen=True)
class Section:
    """Settings that belong together.

    Attributes:
        name: the first part of their dotted names; empty for the settings outside the sections.
        purpose: one line, the first of the class's docstring.
        entries: the settings.
    """

    name: str
    purpose: str
    entries: tuple[Entry, ...]


def sections(config: DataclassInstance) -> list[Section]:
    """The settings outside the sections, then the sections: of a dataclass, and the dataclasses in it."""
    parts = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    inner = [_section(name, part) for name, part in parts.items() if dataclasses.is_dataclass(part)]
    return [_section("", config), *inner]


def entries(config: DataclassInstance) -> list[Entry]:
    """All settings of a dataclass of dataclasses, with the values that they have there."""
    return [entry for section in sections(config) for entry in section.entries]


def _section(name: str, owner: Any) -> Section:
    hints = typing.get_type_hints(type(owner))
    own = [field for field in dataclasses.fields(owner) if not dataclasses.is_dataclass(hints[field.name])]
    return Section(
        name,
        (type(owner).__doc__ or "").partition("\n")[0],
        tuple(Entry(name, f.name, hints[f.name], getattr(owner, f.name), f.metadata[ABOUT]) for f in own),
    )
