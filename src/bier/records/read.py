"""A run folder as plain values: what `bier train` and `bier evaluate` left there, checked while it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from bier.errors import DataError

FORMAT = "bier-metrics-1"
GROUPS = ("worst", "typical", "best")
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Row:
    """Retrieval figures of one embedding, as fractions 0..1; what was not measured is left out."""

    name: str
    kind: str
    learners: tuple[int, ...]
    dimensions: int
    recall: dict[int, float]
    """By K, ascending."""
    figures: dict[str, float]
    """By the names that tables use: R@1, R@2 ..., MAP@R, R-precision, and if measured mAP, NMI, AMI."""
    spread: dict[str, float]
    """Standard deviation of these, where a protocol draws several galleries."""


@dataclass(frozen=True)
class Picture:
    path: Path
    label: str
    bbox: tuple[float, ...] | None = None
    """x, y, width, height in pixels, where the source has a box."""


@dataclass(frozen=True)
class Hit:
    picture: Picture
    score: float
    correct: bool


@dataclass(frozen=True)
class Query:
    """A query and its nearest neighbours, nearest first."""

    picture: Picture
    group: str
    rank: int | None
    """Rank of the first right match, from 1; None if there is none."""
    average_precision: float
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Metrics:
    name: str
    source: str
    split: str
    protocol: str
    created: str
    seed: int | None
    queries: int
    gallery: int
    draws: int
    classes: int
    without_positive: int
    unreadable: tuple[str, ...]
    conventions: tuple[str, ...]
    rows: tuple[Row, ...]
    correlation: tuple[tuple[float, ...], ...]
    """(M, M) between learners; empty if it was not measured."""
    correlation_means: dict[str, float]
    neighbours: tuple[Query, ...]

    @property
    def ensemble(self) -> Row:
        return self.rows[0]

    @property
    def learners(self) -> list[Row]:
        return [row for row in self.rows if row.kind == "learner"]

    @property
    def features(self) -> Row | None:
        return next((row for row in self.rows if row.kind == "features"), None)


@dataclass(frozen=True)
class Weights:
    """Histograms of boosting weights: for each learner, the count in each bin between two edges."""

    edges: tuple[float, ...]
    positive: tuple[tuple[float, ...], ...]
    negative: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class HardPair:
    """Two training pictures and the weight that boosting gave them for the last learner."""

    weight: float
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Epoch:
    number: int
    loss: float
    learner_losses: tuple[float, ...]
    diversity: float
    validation: dict[str, float]
    images_per_second: float
    seconds: float
    learning_rate: float
    weights: Weights | None
    hardest: dict[str, tuple[HardPair, ...]] = field(default_factory=dict)
    """Pairs of one class, ``positive``, and of two, ``negative``, the highest weight first."""
    kept: bool = False
    """Whether the model's weights are those after this epoch."""

    @property
    def validation_recall(self) -> float:
        """Recall@1 on held-out classes of the training split; NaN if it was not measured."""
        return self.validation.get("recall@1", math.nan)


@dataclass(frozen=True)
class Run:
    folder: Path
    metrics: Metrics
    history: tuple[Epoch, ...]
    config: dict[str, Any]
    config_text: str
    provenance: dict[str, Any]

    @property
    def name(self) -> str:
        return self.metrics.name or self.folder.name

    def setting(self, path: str) -> Any:
        """A setting by its dotted name, or None if the run's file lacks it."""
        value: Any = self.config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value


def load_run(folder: Path) -> Run:
    """Read a run folder; only metrics.json must be there.

    Raises:
        DataError: the folder or metrics.json is missing, or a file is broken (named with its line).
    """
    config_text = _optional(folder / "config.yaml")
    provenance = folder / "provenance.json"
    return Run(
        folder=folder,
        metrics=_metrics(folder),
        history=_history(folder / "history.jsonl"),
        config=_yaml(config_text, folder / "config.yaml"),
        config_text=config_text,
        provenance=_json(_optional(provenance) or "{}", provenance, dict),
    )


def _metrics(folder: Path) -> Metrics:
    if not folder.is_dir():
        raise DataError("no such run folder", where=folder, remedy="give the folder that `bier train` wrote")
    path = folder / "metrics.json"
    if not path.is_file():
        raise DataError(
            "not an evaluated run: metrics.json is missing",
            where=folder,
            remedy="run `bier evaluate` on the run's model first",
        )
    return _json(_optional(path), path, _to_metrics)


def _history(path: Path) -> tuple[Epoch, ...]:
    epochs: dict[int, Epoch] = {}
    for number, line in enumerate(_optional(path).split("\n"), start=1):
        if line.strip():
            epoch = _json(line, path, _to_epoch, line=number)
            # A resumed run repeats the epoch that it was stopped in: the last line holds.
            epochs[epoch.number] = epoch
    return tuple(epochs[number] for number in sorted(epochs))


def _optional(path: Path) -> str:
    """The text of a file, empty if there is none."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path, remedy="check the file and its permissions") from error


def _yaml(text: str, path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = path if mark is None else f"{path}:{mark.line + 1}"
        raise DataError("broken YAML", where=where, remedy="mend or remove the file") from error
    return value if isinstance(value, dict) else {}


def _json(text: str, path: Path, convert: Callable[[dict[str, Any]], Parsed], line: int | None = None) -> Parsed:
    """A JSON object through `convert`; whatever does not fit is a DataError with its file and line."""
    where = path if line is None else f"{path}:{line}"
    remedy = "write the file again with `bier evaluate`" if path.name == "metrics.json" else "mend or remove it"
    try:
        record = json.loads(text)
        if not isinstance(record, dict):
            raise TypeError(f"expected an object {{...}}, found {type(record).__name__}")
        return convert(record)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno if line is None else line}"
        raise DataError(f"broken JSON: {error.msg} (column {error.colno})", where=where, remedy=remedy) from error
    except KeyError as error:
        raise DataError(f"the field {error.args[0]!r} is missing", where=where, remedy=remedy) from error
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"a field does not fit: {error}", where=where, remedy=remedy) from error


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(_number(value) for value in values or ())


def _to_metrics(record: dict[str, Any]) -> Metrics:
    if record.get("format") != FORMAT:
        raise ValueError(f"format is {record.get('format')!r}, not {FORMAT!r}")
    correlation = record.get("correlation") or {}
    rows = tuple(_to_row(row) for row in record["rows"])
    if not rows or not rows[0].recall or not all(map(math.isfinite, rows[0].recall.values())):
        raise ValueError("'rows' must begin with the ensemble and its recall")
    matrix = tuple(_numbers(row) for row in correlation.get("learners") or ())
    if any(len(row) != len(matrix) for row in matrix):
        raise ValueError("'correlation' must be a square matrix")
    return Metrics(
        name=str(record.get("name") or ""),
        source=str(record.get("source") or ""),
        split=str(record.get("split") or "test"),
        protocol=str(record.get("protocol") or "self"),
        created=str(record.get("created") or ""),
        seed=record.get("seed"),
        queries=int(record["queries"]),
        gallery=int(record["gallery"]),
        draws=int(record.get("draws") or 1),
        classes=int(record["classes"]),
        without_positive=int(record.get("queries_without_positive") or 0),
        unreadable=tuple(str(path) for path in record.get("unreadable") or ()),
        conventions=tuple(str(text) for text in record.get("conventions") or ()),
        rows=rows,
        correlation=matrix,
        correlation_means={key: _number(value) for key, value in correlation.items() if key != "learners"},
        neighbours=tuple(_to_query(entry) for entry in record.get("neighbours") or ()),
    )


def _to_row(record: dict[str, Any]) -> Row:
    return Row(
        name=str(record["name"]),
        kind=str(record["kind"]),
        learners=tuple(int(index) for index in record.get("learners") or ()),
        dimensions=int(record["dimensions"]),
        recall=_recall(record["recall"]),
        figures=_figures(record, ""),
        spread=_figures(record, "_std"),
    )


def _recall(record: dict[str, Any]) -> dict[int, float]:
    return {k: _number(record[str(k)]) for k in sorted(int(key) for key in record)}


def _figures(record: dict[str, Any], suffix: str) -> dict[str, float]:
    values = {f"R@{k}": value for k, value in _recall(record.get(f"recall{suffix}") or {}).items()}
    values["MAP@R"] = _number(record.get(f"map_at_r{suffix}"))
    values["R-precision"] = _number(record.get(f"r_precision{suffix}"))
    values |= {name: _number(record.get(f"{name.lower()}{suffix}")) for name in ("mAP", "NMI", "AMI")}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _to_query(record: dict[str, Any]) -> Query:
    group = record.get("group")
    rank = record.get("recall_rank")
    return Query(
        picture=_to_picture(record["query"]),
        group=group if group in GROUPS else GROUPS[0],
        rank=int(rank) if rank else None,
        average_precision=_number(record.get("average_precision")),
        hits=tuple(
            Hit(picture=_to_picture(hit), score=_number(hit.get("score")), correct=bool(hit["correct"]))
            for hit in record["hits"]
        ),
    )


def _to_picture(record: dict[str, Any]) -> Picture:
    return Picture(
        path=Path(record["image"]),
        label=str(record.get("name") or record["label"]),
        bbox=_numbers(record.get("bbox")) or None,
    )


def _to_epoch(record: dict[str, Any]) -> Epoch:
    weights = record.get("weights")
    return Epoch(
        number=int(record["epoch"]),
        loss=_number(record.get("loss")),
        learner_losses=_numbers(record.get("learner_losses")),
        diversity=_number(record.get("diversity")),
        validation={str(key): _number(value) for key, value in (record.get("validation") or {}).items()},
        images_per_second=_number(record.get("images_per_second")),
        seconds=_number(record.get("seconds")),
        learning_rate=_number(record.get("learning_rate")),
        weights=_to_weights(weights) if weights else None,
        hardest={kind: _to_pairs(pairs) for kind, pairs in (record.get("hardest") or {}).items()},
        kept=record.get("kept") is True,
    )


def _to_pairs(records: list[dict[str, Any]]) -> tuple[HardPair, ...]:
    return tuple(
        HardPair(_number(record["weight"]), tuple(_to_picture(picture) for picture in record["pictures"]))
        for record in records
    )


def _to_weights(record: dict[str, Any]) -> Weights:
    edges = _numbers(record["edges"])
    positive, negative = (tuple(_numbers(counts) for counts in record[key]) for key in ("positive", "negative"))
    if any(len(counts) != len(edges) - 1 for counts in positive + negative):
        raise ValueError(f"'weights' must have {len(edges) - 1} counts between its {len(edges)} edges")
    if len(positive) != len(negative):
        raise ValueError("'weights' has more learners on one side than on the other")
    return Weights(edges, positive, negative)
