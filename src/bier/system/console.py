"""Where a command talks to a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A console that prints what it is given: brackets and colons in names are no markup and no emoji.

    Args:
        options: those of rich's console. What shall be styled is handed over as an object of rich, such as ``Text``.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)
