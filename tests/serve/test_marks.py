"""The file of marks, and the pairs that are made of it."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path

import pytest

from bier.serve.marks import MarksFile
from bier.serve.schemas import Mark

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def rows(file: MarksFile) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.pairs(), newline="")))


def test_lines_that_are_no_marks_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = MarksFile(tmp_path / "marks.jsonl")
    file.append([Mark(query="a", result="b", verdict="good")])
    sound = json.loads((tmp_path / "marks.jsonl").read_text())
    faulty = [
        b"[]", b"null", b"1", b'"a"', b"{}", b"[" * 100_000, b"\xff\xfe", b"NaN", b'{"query": "half a li',
        json.dumps({**sound, "query": ["a"]}).encode(), json.dumps({**sound, "verdict": 5}).encode(),
    ]  # fmt: skip
    with open(tmp_path / "marks.jsonl", "ab") as lines:
        lines.write(b"\n".join(faulty) + b"\n" + json.dumps({**sound, "result": "c", "later": 1}).encode() + b"\n")
    with caplog.at_level(logging.WARNING):
        assert [row["result"] for row in rows(file)] == ["b", "c"]
    assert len(caplog.messages) == len(faulty)
    assert "line 2 is no mark" in caplog.messages[0]


def test_a_part_of_an_example_is_an_example_of_its_own(tmp_path: Path) -> None:
    file = MarksFile(tmp_path / "marks.jsonl")
    file.append([Mark(query="a", result="b", verdict="good")])
    file.append([Mark(query="a", box=[12, 4.5, 20, 30], result="b", verdict="bad")])
    assert [(row["box"], row["verdict"]) for row in rows(file)] == [("", "good"), ("12 4.5 20 30", "bad")]


def test_no_cell_begins_like_a_formula(tmp_path: Path) -> None:
    file = MarksFile(tmp_path / "marks.jsonl")
    file.append([Mark(query=text, result=text, verdict="good") for text in [*FORMULAS, "boots/17-a=b.jpg"]])
    for row, text in zip(rows(file), FORMULAS, strict=False):
        assert row["query"] == row["result"] == "'" + text
    assert rows(file)[-1]["query"] == "boots/17-a=b.jpg"
