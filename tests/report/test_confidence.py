"""The report says how sure the model is, where that was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bier.report import write_report

CHANCES: dict[str, Any] = {
    "auc": 0.941,
    "error": 0.016,
    "bins": [{"count": 30, "chance": 0.12, "true": 0.1}, {"count": 70, "chance": 0.93, "true": 0.95}],
}


def test_both_chances_are_shown(write_run: Callable[..., Path], tmp_path: Path) -> None:
    known = {**CHANCES, "auc": None, "error": 0.044}
    found = {"queries": 1234, "right": CHANCES, "known": known, "lost": 0.061}
    page = write_report([write_run(confidence=found)], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "How sure it is" in page and "1,234 queries" in page and "6.1 % of the queries are taken" in page
    assert "<td>0.941</td><td>0.016</td>" in page and "<td>–</td><td>0.044</td>" in page
    assert "of 70 at 93.0 95.0" in page


def test_a_model_without_a_calibration_has_no_such_section(write_run: Callable[..., Path], tmp_path: Path) -> None:
    page = write_report([write_run()], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "How sure it is" not in page
