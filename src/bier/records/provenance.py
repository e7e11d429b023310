"""``provenance.json``: where a run comes from, its data, its machine, its packages, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bier.errors import ModelError
from bier.records.folder import RunFolder
from bier.records.reading import as_json, from_json, load
from bier.system.files import write_json

FORMAT = "bier-run-1"


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The source of pictures that a run was trained on."""

    path: str
    source: str
    """Its name."""
    protocol: str
    fingerprint: str
    """SHA-256 over paths, labels, splits and boxes."""
    images: dict[str, int]
    """By split."""
    classes: int
    classes_seen: dict[str, int] | None = None
    """By split, ``test`` and ``val``: how many of its classes training saw; None in older files."""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """The backbone and what it wants of its pictures."""

    name: str
    mean: tuple[float, ...]
    """Of red, green and blue, 0 to 1; likewise the standard deviation."""
    std: tuple[float, ...]
    pooling: str


@dataclass(frozen=True, kw_only=True)
class Refit:
    """What the head became after training: averaged with a whitening of its features, turned, both, or neither."""

    rotated: bool = False
    """Turned, the strongest directions first."""
    power: float
    """Of the whitening; 0 without one."""
    share: float
    """Of the whitening in the average; likewise."""
    before: float
    """MAP@R on the validation classes; likewise after it."""
    after: float

    def in_words(self) -> str:
        """What was done to the head; empty where it stays."""
        done = []
        if self.share:
            done.append(f"averaged with a whitening of its features (power {self.power:g}, share {self.share:g})")
        if self.rotated:
            done.append("turned, its strongest directions first")
        return ", and ".join(done)


@dataclass(frozen=True, kw_only=True)
class MarkedBy:
    """The marks that a run takes beside labels. Their file is copied into its folder."""

    path: str
    file: str
    """SHA-256 of the file; likewise of what it means: pictures, their classes, and pairs."""
    fingerprint: str
    uploads: str | None = None
    """The folder of kept uploads."""
    win: bool
    """Whether a mark counts where labels say otherwise."""
    right: int
    """Pairs that were marked as the same; likewise as different, and those of them that labels contradict."""
    wrong: int
    against_labels: int
    brought: int
    """Pictures that came with marks, kept uploads above all; likewise those that got a class."""
    brought_classed: int
    left_out: dict[str, int]
    """Marks that count for nothing, by the reason."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Written when a run begins, and again when it has ended."""

    format: str = FORMAT
    command: str
    started: str
    seed: int
    device: str
    threads: int
    processes: int = 1
    platform: str
    cores: int | None
    versions: dict[str, str | None]
    """Of packages; None for those that are not installed."""
    parameters: int
    data: TrainedOn
    backbone: BackboneSpec
    marks: MarkedBy | None = None
    seconds: float | None = None
    """The fields from here on are there when the run has ended."""
    best_epoch: int | None = None
    refit: Refit | None = None
    unreadable: tuple[str, ...] | None = None
    finished: str | None = None
    """When; a run without is not complete."""
    tries: dict[str, float] | None = None
    """MAP@R on validation classes by what was tried, if the run is the best of several."""

    @staticmethod
    def of(content: Mapping[str, Any]) -> Provenance:
        """From the content of the file.

        Raises:
            ValueError: a field is missing or does not fit.
        """
        return from_json(Provenance, content)

    @staticmethod
    def load(folder: Path) -> Provenance:
        """Read that of a run.

        Raises:
            ModelError: the folder holds no run.
            DataError: the file is broken.
        """
        path = RunFolder(folder).provenance
        if not path.is_file():
            raise ModelError("is not the folder of a run", where=folder, remedy="give the --out of a `bier train`")
        return load(Provenance, path, remedy="mend it, or copy the run again")

    def save(self, folder: Path) -> None:
        """Write the file, whole or not at all; raises StorageError."""
        write_json(RunFolder(folder).provenance, self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The content of the file."""
        return dict(as_json(self))


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that is complete."""
    return RunFolder(folder).provenance.is_file() and Provenance.load(folder).finished is not None
