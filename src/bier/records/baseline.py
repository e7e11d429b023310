"""``baseline.json``: what a run's test pictures gave before the first step, which training has to beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bier.records.folder import RunFolder
from bier.records.metrics import Metrics, Row
from bier.records.reading import as_json, load
from bier.system.files import write_json


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The rows from before training, and what they hold for."""

    format: str = "bier-baseline-1"
    data: str
    """Fingerprint of the pictures that were searched, with their labels."""
    queries: int
    conventions: tuple[str, ...]
    """How it was counted, in words."""
    seed: int | None = None
    """Of the galleries, where the protocol draws several."""
    rows: tuple[Row, ...]
    """Pretrained features, then the embedding before the first step."""

    @staticmethod
    def load(folder: Path) -> Baseline | None:
        """Read that of a run's folder; None where there is none.

        Raises:
            DataError: the file is broken.
        """
        path = RunFolder(folder).baseline
        return load(Baseline, path, remedy="remove it; tables then begin after training") if path.is_file() else None

    def save(self, folder: Path) -> None:
        """Write the file, whole or not at all; raises StorageError."""
        write_json(RunFolder(folder).baseline, as_json(self))

    @staticmethod
    def of(metrics: Metrics, rows: tuple[Row, ...]) -> Baseline:
        """Rows that hold for the queries of these metrics."""
        data, queries, conventions, seed = _asked(metrics)
        return Baseline(data=data, queries=queries, conventions=conventions, seed=seed, rows=rows)

    def holds_for(self, metrics: Metrics) -> bool:
        """Whether these rows and those metrics are of the same queries, counted alike."""
        mine = (self.data, self.queries, self.conventions, self.seed)
        return metrics.split == "test" and mine == _asked(metrics)

    def before(self, metrics: Metrics) -> Metrics:
        """The metrics with these rows before their own, at the same K of Recall@K."""
        asked = metrics.ensemble.recall
        rows = [replace(row, recall={k: row.recall[k] for k in asked if k in row.recall}) for row in self.rows]
        return replace(metrics, rows=(*rows, *metrics.rows))


def _asked(metrics: Metrics) -> tuple[str, int, tuple[str, ...], int | None]:
    return metrics.data, metrics.queries, metrics.conventions, metrics.seed if metrics.draws > 1 else None
