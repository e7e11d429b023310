"""A run as it is looked at afterwards: all that its folder tells, checked while it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bier.errors import DataError
from bier.records.folder import RunFolder
from bier.records.history import Epoch, read_history
from bier.records.metrics import Metrics
from bier.records.provenance import Provenance
from bier.records.reading import read_text


@dataclass(frozen=True)
class RunRecords:
    """What `bier train` and `bier evaluate` left in a folder; only the metrics must be there."""

    folder: Path
    metrics: Metrics
    history: tuple[Epoch, ...]
    config: dict[str, Any]
    """The settings, nested as in the file; empty if there is none."""
    config_text: str
    provenance: Provenance | None

    @staticmethod
    def load(folder: Path) -> RunRecords:
        """Read a run's folder.

        Raises:
            DataError: the folder or the metrics are missing, or a file is broken (named with its line or field).
        """
        if not folder.is_dir():
            raise DataError("no such run folder", where=folder, remedy="give the folder that `bier train` wrote")
        files = RunFolder(folder)
        text = read_text(files.config) if files.config.is_file() else ""
        return RunRecords(
            folder=folder,
            metrics=Metrics.load(files.metrics),
            history=read_history(folder),
            config=_yaml(text, files.config),
            config_text=text,
            provenance=Provenance.load(folder) if files.provenance.is_file() else None,
        )

    @property
    def name(self) -> str:
        return self.metrics.name or self.folder.name

    def setting(self, path: str) -> Any:
        """A setting by its dotted name, or None if the run's file lacks it."""
        value: Any = self.config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value


def _yaml(text: str, path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none, lists in lists in lists
        mark = getattr(error, "problem_mark", None)
        where = path if mark is None else f"{path}:{mark.line + 1}"
        raise DataError("broken YAML", where=where, remedy="mend or remove the file") from error
    return value if isinstance(value, dict) else {}
