"""The folder of a run: its name, and the files in it."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from bier.errors import ConfigError, ModelError

TRIES = "tries.json"
"""In the folder of a run that is to be the best of several (`bier.runs.tries`)."""


def read_provenance(folder: Path) -> dict[str, Any]:
    path = folder / "provenance.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            "is not the folder of a run", where=folder, remedy="give the --out of a `bier train`"
        ) from error
    except ValueError as error:
        raise ModelError(f"is broken ({error})", where=path, remedy="copy the run again") from error
    return content


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that is complete."""
    return (folder / "provenance.json").exists() and "finished" in read_provenance(folder)


def read_history(folder: Path) -> list[dict[str, Any]]:
    """What is kept of each epoch."""
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def validation_score(folder: Path) -> float:
    """MAP@R on validation classes, of the epoch that is kept."""
    return next(float(epoch["validation"]["map_at_r"]) for epoch in read_history(folder) if epoch["kept"])


def new_folder(source: str, name: str | None = None) -> Path:
    """``runs/<source>-<time>``, or with a name ``runs/<name>``."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / (name or f"{slug(source)}-{stamp}")


def slug(source: str) -> str:
    path = Path(source)
    stem = path.stem if path.suffix.lower() in (".csv", ".parquet") else path.name
    stem = path.resolve().parent.name if stem in ("labels", "", ".", "..") else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "run"


def refuse_to_overwrite(folder: Path) -> None:
    """Raise where a folder holds a run."""
    if (folder / "provenance.json").exists() or (folder / TRIES).exists():
        raise ConfigError(
            "holds a run already",
            where=folder,
            remedy=f"go on with: bier train --resume {folder}; or give another --out",
        )
