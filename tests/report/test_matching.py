"""What a score tells, on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bier.records.matching import AtFar, OpenSet, Verification
from bier.records.reading import as_json
from bier.report import write_report

PAIRS = Verification(
    auc=0.938,
    equal_error_rate=0.127,
    tar=(AtFar(far=0.01, rate=0.462, threshold=0.588), AtFar(far=0.001, rate=0.147, threshold=0.67)),
    curve=((1.0, 1.0), (0.1, 0.84), (0.01, 0.462), (0.001, 0.147)),
    positive_pairs=85_909,
    negative_pairs=4_272_719,
)
QUERIES = OpenSet(
    dir=(AtFar(far=0.1, rate=0.513, threshold=0.72, std=0.04), AtFar(far=0.01, rate=None)),
    curve=((1.0, 0.9), (0.1, 0.513)),
    draws=10,
    left_out=0.5,
    known=1476,
    unknown=1477,
)


def page(run: Path, tmp_path: Path) -> str:
    text = write_report([run], tmp_path / "report.html").read_text()
    return text.replace("\u00a0", " ")


def with_figures(run: Path, **changes: Any) -> Path:
    path = run / "metrics.json"
    record = json.loads(path.read_text()) | changes
    for row in record["rows"]:
        if row["kind"] == "ensemble" and not changes:
            row |= {"verification": as_json(PAIRS), "open_set": as_json(QUERIES)}
    path.write_text(json.dumps(record))
    return run


def test_each_question_has_a_sentence_figures_and_a_curve(write_run, tmp_path):
    text = page(with_figures(write_run()), tmp_path)
    assert "A right pair scores above a wrong one in 93.8 % of cases." in text
    assert "From a score of 0.59 on, 46.2 % of right pairs are accepted, and 1 % of wrong ones." in text
    assert "With 50 % of the classes left out of the gallery, and 10 % false alarms, 51.3 % of queries get" in text
    assert "<dt>EER</dt><dd>12.7 %</dd>" in text
    assert "<dt>DIR at FAR 1 %</dt><dd>–</dd>" in text, "too few unknown queries tell 1 %"
    assert "TAR in percent by false alarm rate. trained: 100.0 at 100 %, 84.0 at 10 %" in text
    assert "DIR in percent by false alarm rate. trained: 90.0 at 100 %, 51.3 at 10 %." in text
    assert ">0.1 %</text>" in text, "the axis is logarithmic, with a name for each power of ten"


def test_older_files_leave_the_section_out(write_run, tmp_path):
    assert "Whether a score tells a match" not in page(write_run(), tmp_path)


def test_what_cannot_be_told_is_said(write_run, tmp_path):
    reasons = {"verification": "all pictures are of one class"}
    text = page(with_figures(write_run(), not_measured=reasons), tmp_path)
    assert "Verification is not measured: all pictures are of one class." in text
