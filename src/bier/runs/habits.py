"""Settings that a user leaves to the backbone's family."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from bier.network.names import family_of
from bier.settings.schema import Config

T = TypeVar("T")

_SECTIONS = {"drop_path": "model"}
"""Where a habit is set; the others are settings of the optimiser."""


def with_habits(config: Config) -> Config:
    """The settings, with what they leave out filled in by the habits of the backbone's family."""
    habits = dataclasses.asdict(family_of(config.model.backbone).habits)
    sections = {name: _SECTIONS.get(name, "optimizer") for name in habits}
    left_out = [name for name, section in sections.items() if getattr(getattr(config, section), name) is None]
    return config.replace(**{f"{sections[name]}__{name}": habits[name] for name in left_out})


def filled(value: T | None) -> T:
    """A setting that `with_habits` has filled in."""
    assert value is not None
    return value
