"""Figures as they are printed."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from bier.records.matching import AtFar, Verification
from bier.records.metrics import Metrics, Row
from bier.runs.tables import matching_table, not_measured


def metrics(verification: Verification | None, reasons: dict[str, str] | None = None) -> Metrics:
    row = Row(
        name="trained embedding",
        kind="ensemble",
        dimensions=8,
        recall={1: 0.5},
        map_at_r=None,
        r_precision=None,
        verification=verification,
    )
    return Metrics(queries=9, gallery=9, classes=3, rows=(row,), not_measured=reasons)


def test_what_a_score_tells_has_a_row_for_each_figure() -> None:
    tar = (AtFar(far=0.01, rate=0.4), AtFar(far=1e-4, rate=None))
    found = Verification(
        auc=0.9, equal_error_rate=0.125, tar=tar, curve=((1.0, 1.0),), positive_pairs=5, negative_pairs=200
    )
    table = matching_table(metrics(found))
    assert table is not None
    console = Console(width=80, file=StringIO(), record=True)
    console.print(table)
    lines = console.export_text().splitlines()
    cells = dict([cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│"))
    assert cells == {"ROC AUC": "90.0", "EER": "12.5", "TAR at FAR 1 %": "40.0", "TAR at FAR 0.01 %": "–"}


def test_older_figures_have_no_such_table_and_reasons_are_told() -> None:
    assert matching_table(metrics(None)) is None
    assert not_measured(metrics(None)) == []
    told = not_measured(metrics(None, {"open_set": "the gallery has one class only, and none can be left out"}))
    assert told == ["open-set is not measured: the gallery has one class only, and none can be left out"]
