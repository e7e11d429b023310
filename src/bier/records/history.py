"""``history.jsonl``: what is kept of each epoch, one line an epoch."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bier.errors import DataError
from bier.records.folder import RunFolder
from bier.records.pictures import Picture
from bier.records.reading import as_json, parse, read_text
from bier.system.files import write_text


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Histograms of boosting weights: for each learner, the count in each bin between two edges."""

    edges: tuple[float, ...]
    positive: tuple[tuple[int, ...], ...]
    """(M, bins) of pairs of one class."""
    negative: tuple[tuple[int, ...], ...]
    """(M, bins) of pairs of two classes."""

    def __post_init__(self) -> None:
        if not all(low < high for low, high in itertools.pairwise(self.edges)):
            raise ValueError("'weights' must have edges that grow")
        if any(len(counts) != len(self.edges) - 1 for counts in self.positive + self.negative):
            raise ValueError(f"'weights' must have {len(self.edges) - 1} counts between its {len(self.edges)} edges")
        if len(self.positive) != len(self.negative):
            raise ValueError("'weights' has more learners on one side than on the other")


@dataclass(frozen=True, kw_only=True)
class HardPair:
    """Two training pictures and the weight that boosting gave them for the last learner."""

    weight: float
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Means over an epoch; NaN for what was not measured."""

    epoch: int
    """From 1; 0 stands for the model before any training, in a run without epochs."""
    step: int = 0
    """Batches since the start of the run."""
    loss: float = math.nan
    learner_losses: tuple[float, ...] = ()
    diversity: float = math.nan
    images_per_second: float = math.nan
    seconds: float = math.nan
    weights: Weights | None = None
    hardest: dict[str, tuple[HardPair, ...]] = field(default_factory=dict)
    """Pairs of one class, ``positive``, and of two, ``negative``, the highest weight first."""
    learning_rate: float = math.nan
    validation: dict[str, float] | None = None
    """``recall@1`` and ``map_at_r`` on held-out classes, 0 to 1."""
    kept: bool = False
    """Whether the model's weights are those after this epoch."""

    @property
    def validation_recall(self) -> float:
        """Recall@1 on held-out classes of the training split; NaN if it was not measured."""
        return (self.validation or {}).get("recall@1", math.nan)

    @property
    def validation_map_at_r(self) -> float:
        """MAP@R on held-out classes of the training split; NaN if it was not measured."""
        return (self.validation or {}).get("map_at_r", math.nan)


def read_history(folder: Path) -> tuple[Epoch, ...]:
    """The epochs of a run, in order; none if it has no history.

    Raises:
        DataError: a line is broken; it is named by its number.
    """
    path = RunFolder(folder).history
    if not path.is_file():
        return ()
    epochs: dict[int, Epoch] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            epoch = parse(Epoch, line, path, remedy="mend or remove it", line=number)
            # An epoch that was repeated after an interruption stands twice: the last line holds.
            epochs[epoch.epoch] = epoch
    return tuple(epochs[number] for number in sorted(epochs))


def write_history(folder: Path, epochs: Sequence[Epoch]) -> None:
    """Write the whole file anew; raises StorageError."""
    lines = (json.dumps(as_json(epoch), allow_nan=False) for epoch in epochs)
    write_text(RunFolder(folder).history, "".join(f"{line}\n" for line in lines))


def validation_score(folder: Path) -> float:
    """MAP@R on validation classes, of the epoch that is kept.

    Raises:
        DataError: nothing was validated.
    """
    score = next((epoch.validation_map_at_r for epoch in read_history(folder) if epoch.kept), math.nan)
    if math.isnan(score):
        raise DataError(
            "no epoch was kept by validation",
            where=RunFolder(folder).history,
            remedy="train again with validation classes (data.validation_classes)",
        )
    return score
