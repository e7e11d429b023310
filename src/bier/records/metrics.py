"""``metrics.json``: what a model finds, and with which of its learners."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bier.errors import DataError
from bier.records.bits import unpacked
from bier.records.classes import ClassFigures, Confusion
from bier.records.matching import OpenSet, Verification
from bier.records.pictures import Picture
from bier.records.reading import REST, as_json, from_json, load
from bier.system.files import write_json

FORMAT = "bier-metrics-2"
TITLES = {"map_at_r": "MAP@R", "r_precision": "R-precision", "map": "mAP", "nmi": "NMI", "ami": "AMI"}
"""What tables call a figure, by its key in the file."""
STD = "_std"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Retrieval figures of one embedding, 0 to 1; None for what was not measured."""

    name: str
    kind: str
    """``pretrained`` (features) and ``untrained`` (head); ``ensemble``, ``learner``, ``prefix``, ``reranked``,
    ``features``."""
    learners: tuple[int, ...] = ()
    """Those that take part, from 0."""
    dimensions: int
    recall: dict[int, float]
    """By K, ascending."""
    map_at_r: float | None
    r_precision: float | None
    others: dict[str, float] = field(default_factory=dict, metadata=REST)
    """Further figures by their keys in the file: ``mean_rank`` (from 1), ``map``, ``nmi``, ``ami``, those of other
    packages; and ``..._std``, the standard deviation, where a protocol draws several galleries."""
    recall_std: dict[int, float] | None = None
    first_right: str | None = None
    """Which queries found a right picture first, in their order (see `bier.records.bits`); None where a protocol
    draws several galleries, and in older files."""
    verification: Verification | None = None
    open_set: OpenSet | None = None

    def __post_init__(self) -> None:
        if self.first_right is not None:
            unpacked(self.first_right)

    @property
    def figures(self) -> dict[str, float]:
        """Shares by the names that tables use: R@1, R@2 ..., MAP@R, R-precision, mAP, NMI, AMI, those of others."""
        values = {f"R@{k}": value for k, value in self.recall.items()}
        values |= {"MAP@R": _or_nan(self.map_at_r), "R-precision": _or_nan(self.r_precision)}
        values |= {TITLES.get(key, key): value for key, value in self.others.items() if not key.endswith(STD)}
        return _measured(values)

    @property
    def matching(self) -> dict[str, float | None]:
        """Figures of verification and of open-set identification, by the names that tables use."""
        measured = [figures for figures in (self.verification, self.open_set) if figures is not None]
        return {name: value for figures in measured for name, value in figures.figures.items()}

    @property
    def spread(self) -> dict[str, float]:
        """The standard deviations of `figures`."""
        values = {f"R@{k}": value for k, value in (self.recall_std or {}).items()}
        keys = {key.removesuffix(STD): value for key, value in self.others.items() if key.endswith(STD)}
        return _measured(values | {TITLES.get(key, key): value for key, value in keys.items()})

    def as_dict(self) -> dict[str, Any]:
        """The row as it stands in the file."""
        return dict(as_json(self))


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """How much the learners repeat each other, and the output dimensions: the mean of the absolute value."""

    learners: tuple[tuple[float, ...], ...] = ()
    """(M, M) between the learners' similarities of pairs of pictures."""
    features_mean_abs: float | None
    """Of any two dimensions; None where there is no such pair, and likewise below."""
    within_learners_mean_abs: float | None
    between_learners_mean_abs: float | None

    def __post_init__(self) -> None:
        if any(len(row) != len(self.learners) for row in self.learners):
            raise ValueError("'correlation.learners' must be a square matrix")


@dataclass(frozen=True, kw_only=True)
class Hit(Picture):
    """A picture that was found."""

    score: float = math.nan
    """Its similarity to the query."""
    correct: bool
    """Whether it is of the query's class."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """A query and its nearest neighbours."""

    group: str = ""
    """``worst``, ``typical`` or ``best`` of all queries."""
    query: Picture
    recall_rank: int | None
    """Rank of the first right match, from 1; 0 or None if there is none."""
    average_precision: float = math.nan
    """At R."""
    hits: tuple[Hit, ...]
    """Nearest first."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of similar chances."""

    count: int
    chance: float
    """Their mean chance, 0 to 1."""
    true: float
    """The share that came true."""


@dataclass(frozen=True, kw_only=True)
class Chances:
    """How good one chance is."""

    auc: float | None
    """How often a true answer has the higher chance than a false one; None where all are true, or none."""
    error: float
    """Expected calibration error over ten bins of equal width."""
    bins: tuple[Bin, ...]
    """From low chances to high, without empty ones."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """How well the model knows what it knows, on pictures that its calibration has not seen."""

    queries: int
    """So many were judged."""
    right: Chances
    """That the first hit is right, where the query's class is in the catalogue."""
    known: Chances
    """That the class is in the catalogue, with half of the classes left out."""
    lost: float
    """Share of queries that are refused although their class is in the catalogue."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """All that is said of a model on one split of a source."""

    older_formats: ClassVar[tuple[str, ...]] = ("bier-metrics-1",)
    """They had no rows from before training."""
    format: str = FORMAT
    name: str = ""
    """Of the run."""
    source: str = ""
    data: str = ""
    """Fingerprint of the pictures that were searched, with their labels; empty in older files."""
    split: str = "test"
    protocol: str = "self"
    created: str = ""
    seed: int | None = None
    draws: int = 1
    """Galleries that the protocol drew; figures are means over them."""
    queries: int
    gallery: int
    classes: int
    classes_seen: int | None = None
    """Those of them that training saw, by their labels; None where that is not known."""
    queries_without_positive: int = 0
    conventions: tuple[str, ...] = ()
    """How it was counted, in words."""
    unreadable: tuple[str, ...] = ()
    """Pictures that could not be read."""
    rows: tuple[Row, ...]
    """In the order of a table: before training, the ensemble, its learners, its prefixes, its hits ranked again, the
    features beneath it."""
    correlation: Correlation | None = None
    neighbours: tuple[Neighbours, ...] = ()
    confidence: Confidence | None = None
    """None: the model has no calibration, or there are too few classes to judge it by."""
    not_measured: dict[str, str] | None = None
    """Why ``verification`` or ``open_set`` cannot be told of these pictures."""
    by_class: tuple[ClassFigures, ...] = ()
    """Of every class that has a query; empty in older files. Where a protocol draws several galleries, of the first;
    so are the confusions."""
    confusions: tuple[Confusion, ...] = ()
    """Pairs of classes, the one most often confused first."""

    def __post_init__(self) -> None:
        whole = self._first("ensemble")
        if whole is None or not whole.recall or not all(map(math.isfinite, whole.recall.values())):
            raise ValueError("'rows' must hold the ensemble and its recall")

    @property
    def pretrained(self) -> Row | None:
        """The backbone's features as they came; None where they are not known."""
        return self._first("pretrained")

    @property
    def untrained(self) -> Row | None:
        """The embedding before the first step of training; None where it is not known."""
        return self._first("untrained")

    @property
    def ensemble(self) -> Row:
        """The whole embedding."""
        return next(row for row in self.rows if row.kind == "ensemble")

    @property
    def learners(self) -> list[Row]:
        return [row for row in self.rows if row.kind == "learner"]

    @property
    def features(self) -> Row | None:
        """The backbone's own features, after training."""
        return self._first("features")

    @property
    def counted(self) -> int:
        """Queries over which the figures are means."""
        return self.queries - self.queries_without_positive

    def _first(self, kind: str) -> Row | None:
        return next((row for row in self.rows if row.kind == kind), None)

    @staticmethod
    def of(content: Mapping[str, Any]) -> Metrics:
        """From what `bier.evaluate.evaluate_manifest` returns.

        Raises:
            ValueError: a field is missing or does not fit.
        """
        return from_json(Metrics, content)

    @staticmethod
    def load(path: Path) -> Metrics:
        """Read a ``metrics.json``.

        Raises:
            DataError: it is missing or broken, named with its line or field.
        """
        if not path.is_file():
            raise DataError(
                f"not an evaluated run: {path.name} is missing",
                where=path.parent,
                remedy="run `bier evaluate` on the run's model first",
            )
        return load(Metrics, path, remedy="write the file again with `bier evaluate`")

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; raises StorageError."""
        write_json(path, self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The content of the file."""
        return dict(as_json(self))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _measured(values: Mapping[str, float]) -> dict[str, float]:
    """Without what was not measured, and without ranks, which are no shares."""
    return {name: value for name, value in values.items() if math.isfinite(value) and name != "mean_rank"}
