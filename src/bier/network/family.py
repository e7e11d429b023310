"""What a family of backbones is: networks that are built alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bier.network.backbone import Backbone


@dataclass(frozen=True)
class Family:
    """Backbones that are built alike."""

    knows: Callable[[str], bool]
    """Whether a name is one of theirs."""
    build: Callable[[str, str], Backbone]
    """From a name and weights: ``default``, ``none``, or the path of a file."""
