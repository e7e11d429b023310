"""Class by class: what a model finds of each, and which classes it takes for one another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bier.records.pictures import Picture


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """Retrieval figures of the queries of one class, 0 to 1."""

    label: str
    name: str | None = None
    """What people call the class, where the source says."""
    queries: int
    """Those that count."""
    recall_at_1: float
    map_at_r: float
    confused_with: str | None = None
    """The class, as people call it, that wrong first hits are of most often; None without a wrong one."""
    confused: int = 0
    """So many queries found it first."""
    seen: bool | None = None
    """Whether it is a training class, by its label; None where that is not known."""

    @property
    def title(self) -> str:
        """What people call the class, or else its label."""
        return self.name or self.label


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Two classes, of which queries of one found pictures of the other first."""

    counts: tuple[int, ...]
    """Wrong first hits: of the first class's queries, then of the second's."""
    queries: tuple[int, ...]
    """All queries of the two classes that count."""
    pictures: tuple[Picture, ...]
    """One of each class: of those pairs the most similar."""
    score: float = math.nan
    """Similarity of the two."""
