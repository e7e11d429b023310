"""All settings as a list, each with its dotted name, type, value and meaning."""

from __future__ import annotations

import dataclasses
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
        """All values where they can be counted; empty for numbers, texts, lists and tables."""
        if self.hint is bool:
            return ("true", "false")
        return typing.get_args(self.hint) if typing.get_origin(self.hint) is Literal else ()


def entries(config: DataclassInstance, section: str = "") -> list[Entry]:
    """Those of a dataclass and of the dataclasses in it, with the values they have there."""
    hints = typing.get_type_hints(type(config))
    found: list[Entry] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            found += entries(value, field.name)
        else:
            found.append(Entry(section, field.name, hints[field.name], value, field.metadata[ABOUT]))
    return found
