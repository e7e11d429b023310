"""What the page says of classes: seen or new, one by one, and confused with each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bier.records.metrics import Metrics
from bier.report.classes import SHOWN, class_table, new_and_known


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rows(run: Path, seen: set[str]) -> list[dict]:
    """Those of every class, of which some were seen in training."""
    table = json.loads((run / "metrics.json").read_text())["by_class"]
    return [row | {"seen": row["label"] in seen} for row in table]


@pytest.mark.parametrize(
    ("seen", "said", "warned"),
    [
        (0, "of 50 classes it never saw.", None),
        (50, "of 50 classes, all of which it saw in training.", "All 50 classes are among the training classes."),
        (12, "of 50 classes, 12 of which it saw in training.", "12 of the 50 classes are among the training classes."),
        (None, "2,953 pictures of 50 classes.", "Whether training saw these classes is not recorded."),
    ],
)
def test_only_classes_that_training_never_saw_are_called_so(write_run, report, seen, said, warned):
    text = report(write_run(classes_seen=seen)).text
    assert said in text
    assert ("never saw" in text) == (seen == 0)
    assert warned is None or warned in text
    assert ("among the training classes" in text) == bool(seen)


def test_new_classes_have_a_figure_of_their_own(write_run, report):
    run = write_run(classes_seen=1)
    change(run / "metrics.json", by_class=rows(run, {"class_0"}))
    # 20 queries each of classes with 55 and 70 %.
    told = "Recall@1 is 62.5\u00a0% for the 2 classes that are new, and 90.0\u00a0% for the 1 class."
    assert told in report(run).text
    change(run / "metrics.json", by_class=rows(run, {"class_0", "class_1", "class_2"}))
    assert new_and_known(Metrics.load(run / "metrics.json")) == ""


def test_the_table_by_class_begins_with_the_worst(write_run, report, confusion):
    page = report(write_run(confusions=[confusion]))
    named = [row for row in page.rows if row[0].startswith("class ")]
    assert named == [
        ["class 1", "20", "55.0", "27.5", "class 2 (9)"],
        ["class 2", "20", "70.0", "35.0", "class 0 (6)"],
        ["class 0", "20", "90.0", "45.0", "class 1 (2)"],
    ]
    assert "class 0 · class 1\n5 of 40 queries" in page.text, "the confused pair"


def test_of_thousands_of_classes_both_ends_stand_there(write_run):
    run = write_run()
    one = rows(run, set())[0]
    many = [one | {"label": str(number), "recall_at_1": number / 3000} for number in range(3000)]
    change(run / "metrics.json", by_class=many)
    table = class_table(Metrics.load(run / "metrics.json"))
    assert table.told.startswith("There are 3,000 classes. Here are the 20 with the lowest")
    assert [[row[0] for row in part] for _, part in table.parts] == [
        [str(number) for number in range(SHOWN)],
        [str(number) for number in range(3000 - SHOWN, 3000)],
    ]


def test_figures_from_before_there_were_classes_say_so(write_run, report):
    text = report(write_run(by_class=[], confusions=[])).text
    assert "These figures were measured without classes." in text
