"""What a search that may miss pictures is expected to find."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Expected:
    """Of an approximate answer."""

    recall: float | None
    """Share of the exact ten nearest that such searches find, as it was measured; None before it has been."""

    def in_words(self) -> str:
        """Such as ``approximate, recall@10 0.985``."""
        return (
            "approximate, recall not measured" if self.recall is None else f"approximate, recall@10 {self.recall:.3f}"
        )
