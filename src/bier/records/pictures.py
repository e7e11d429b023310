"""A picture as the files of a run name it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a person needs to see a picture: where it lies and what is on it."""

    image: str
    """Its path."""
    label: str
    """Its class."""
    name: str | None = None
    """What people call the class, where the source says."""
    bbox: tuple[float, ...] | None = None
    """x, y, width, height in pixels, where the source has a box."""

    @property
    def path(self) -> Path:
        return Path(self.image)

    @property
    def title(self) -> str:
        """What people call the class, or else its label."""
        return self.name or self.label
