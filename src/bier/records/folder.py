"""The folder of a run: its name, and the files in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bier.errors import ConfigError, quoted
from bier.system.places import as_path
from bier.system.tensors import MODEL_FILE

REPORT = "report.html"


@dataclass(frozen=True)
class RunFolder:
    """Where each file of a run lies."""

    path: Path

    @property
    def config(self) -> Path:
        """All settings, as YAML."""
        return self.path / "config.yaml"

    @property
    def lock(self) -> Path:
        """While a command works in the folder: which (see `bier.records.lock`)."""
        return self.path / ".lock"

    @property
    def table(self) -> Path:
        """The source of a run that was trained on a table in memory."""
        return self.path / "source.parquet"

    @property
    def provenance(self) -> Path:
        """See `bier.records.provenance`."""
        return self.path / "provenance.json"

    @property
    def model(self) -> Path:
        """The model after the epoch that is kept."""
        return self.path / MODEL_FILE

    @property
    def checkpoint(self) -> Path:
        """What an interrupted run goes on from; gone when the run has ended."""
        return self.path / "checkpoint.safetensors"

    @property
    def previous_checkpoint(self) -> Path:
        """The one before it, for the case that it is damaged; gone when the run has ended."""
        return self.path / "checkpoint-previous.safetensors"

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """Those that are there, the newest first."""
        return tuple(path for path in (self.checkpoint, self.previous_checkpoint) if path.is_file())

    @property
    def features(self) -> Path:
        """A folder: what a frozen backbone has made of the pictures (see `bier.vectors.features`); gone at the end."""
        return self.path / "frozen-features"

    @property
    def can_go_on(self) -> bool:
        """Whether an interrupted training has left something to go on from."""
        return bool(self.checkpoints) or self.features.is_dir()

    @property
    def history(self) -> Path:
        """See `bier.records.history`."""
        return self.path / "history.jsonl"

    @property
    def marks(self) -> Path:
        """Where a run takes marks beside labels, a copy of their file."""
        return self.path / "marks-taken.csv"

    @property
    def metrics(self) -> Path:
        """Figures on the test split of the run's own source (see `bier.records.metrics`)."""
        return self.path / "metrics.json"

    @property
    def baseline(self) -> Path:
        """Figures from before training (see `bier.records.baseline`)."""
        return self.path / "baseline.json"

    @property
    def map(self) -> Path:
        """Where the test pictures lie (see `bier.records.run_map`)."""
        return self.path / "test-map.json"

    def other_metrics(self, source: str, split: str) -> Path:
        """Figures on another source or split."""
        return self.path / f"metrics-{slug(source)}-{split}.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def tensorboard(self) -> Path:
        """A folder."""
        return self.path / "tensorboard"

    @property
    def report(self) -> Path:
        return self.path / REPORT

    @property
    def tries(self) -> Path:
        """In the folder of a run that is to be the best of several (see `bier.records.tries`)."""
        return self.path / "tries.json"

    def one_try(self, name: str) -> Path:
        """The folder of one of several runs."""
        return self.path / "tries" / re.sub(r"[^\w.=+-]+", "_", name)


def new_folder(source: str, name: str | None = None) -> Path:
    """``runs/<source>-<time>``, or with a name ``runs/<name>``."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / (name or f"{slug(source)}-{stamp}")


def slug(source: str) -> str:
    """The name of a source as it stands in names of files."""
    path = as_path(source)
    stem = path.stem if path.suffix.lower() in (".csv", ".parquet") else path.name
    stem = path.resolve().parent.name if stem in ("labels", "", ".", "..") else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "run"


def refuse_to_overwrite(folder: Path) -> None:
    """Raise ConfigError where a folder holds a run."""
    files = RunFolder(folder)
    if files.provenance.exists() or files.tries.exists():
        raise ConfigError(
            "holds a run already",
            where=folder,
            remedy=f"go on with: bier train --resume {quoted(folder)}; or give another --out",
        )
