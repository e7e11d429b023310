"""What long work on an index lets others hear: lines that stay, and how far the present stage has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Tell = Callable[[str], object]
"""Is told of each stage of work that takes minutes, and of what it has found."""


class Show(Protocol):
    """Is shown again and again how far a stage has come."""

    def __call__(self, stage: str, /, done: int = 0, total: int | None = None, unit: str = "pictures") -> object:
        """So much of it is done, of so much; None: nothing tells how far it is."""


def silent(_: str) -> None:
    """Tell nobody."""


def unseen(stage: str, done: int = 0, total: int | None = None, unit: str = "pictures") -> None:
    """Show nobody."""
