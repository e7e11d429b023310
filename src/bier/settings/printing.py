"""The settings as YAML with comments: a file for ``bier train --config`` that explains itself."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches

import yaml

from bier.errors import ConfigError
from bier.settings.entries import Entry, Section, sections
from bier.settings.schema import Config

WIDTH = 100
"""Columns of the text, comments included."""


def find(word: str | None = None) -> list[Section]:
    """All settings with their defaults; with a word, the section of that name, or else all names that contain it.

    Raises:
        ConfigError: there is no such setting.
    """
    known = sections(Config())
    if word is None:
        return known
    of_that_name = [section for section in known if section.name == word]
    found = of_that_name or [part for section in known if (part := _containing(section, word)).entries]
    if not found:
        raise ConfigError(f"no setting has {word!r} in its name", where="bier settings", remedy=_nearest(word, known))
    return found


def as_yaml(chosen: Sequence[Section]) -> str:
    """YAML of these settings, a comment beside each: meaning, range, and what null stands for."""
    lines = [_assignment(entry) for section in chosen for entry in section.entries]
    column = max(map(len, lines)) + 2
    return "\n".join(_section(section, column) for section in chosen)


def plain(entry: Entry) -> str:
    """The value as it stands in YAML."""
    text: str = yaml.safe_dump(entry.value, default_flow_style=True)
    return text.removesuffix("...\n").strip()


def _containing(section: Section, word: str) -> Section:
    return dataclasses.replace(section, entries=tuple(entry for entry in section.entries if word in entry.key))


def _nearest(word: str, known: Sequence[Section]) -> str:
    names = {section.name for section in known} | {entry.name for section in known for entry in section.entries}
    close = get_close_matches(word.rpartition(".")[2], sorted(names), cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else "`bier settings` prints all of them"


def _section(section: Section, column: int) -> str:
    lines = [f"# {section.purpose}", *([f"{section.name}:"] if section.name else [])]
    for entry in section.entries:
        comment = textwrap.wrap(_explanation(entry), WIDTH - column - len("# "), break_on_hyphens=False)
        starts = [_assignment(entry), *[""] * (len(comment) - 1)]
        lines += [f"{start:<{column}}# {text}" for start, text in zip(starts, comment, strict=True)]
    return "\n".join(lines) + "\n"


def _assignment(entry: Entry) -> str:
    return f"{'  ' if entry.section else ''}{entry.name}: {plain(entry)}"


def _explanation(entry: Entry) -> str:
    about = entry.about
    facts = (
        f"Choices: {', '.join(map(str, entry.choices))}." if entry.choices else "",
        f"Range: {about.range}{f' ({about.reason})' if about.reason else ''}." if about.range else "",
        f"Default: {about.if_none}." if about.if_none else "",
    )
    return " ".join([about.meaning, *filter(None, facts)])
