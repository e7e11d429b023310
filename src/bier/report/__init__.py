"""`bier report`: run folders -> one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bier.errors import DataError
from bier.records.run import RunRecords
from bier.report.page import render
from bier.system.files import write_text

__all__ = ["write_report"]


def write_report(runs: Sequence[Path], output: Path, *, thumbnail: int = 112) -> Path:
    """Write one HTML file that shows one run, or several side by side; it needs nothing beside itself.

    Args:
        runs: run folders that `bier evaluate` has measured; whatever else is in them is shown if it is there.
        output: the file to write; its folder is made if needed, and an old file is replaced only by a whole new one.
        thumbnail: longest side of the pictures, in pixels.

    Returns:
        `output`.

    Raises:
        DataError: no run given, not a run folder, or a broken file in one.
        StorageError: the page cannot be written.
    """
    if not runs:
        raise DataError("no run to report on", remedy="name at least one run folder")
    write_text(output, render([RunRecords.load(Path(folder)) for folder in runs], thumbnail))
    return output
