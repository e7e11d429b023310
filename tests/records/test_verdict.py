"""One sentence: from what to what, and only as much as the pictures show."""

from __future__ import annotations

import dataclasses

import numpy as np

from bier.records.bits import packed
from bier.records.metrics import Metrics, Row
from bier.records.verdict import made_worse, verdict

QUERIES = 1000


def row(kind: str, name: str, right: int, map_at_r: float | None, k: int = 1) -> Row:
    flags = np.arange(QUERIES) < right
    return Row(
        name=name,
        kind=kind,
        dimensions=512,
        recall={k: right / QUERIES},
        map_at_r=map_at_r,
        r_precision=None,
        first_right=packed(flags),
    )


def metrics(pretrained: int, untrained: int, trained: int) -> Metrics:
    rows = (
        row("pretrained", "pretrained features", pretrained, 0.319),
        row("untrained", "whitening, untrained", untrained, 0.36),
        row("ensemble", "trained embedding", trained, 0.417),
    )
    return Metrics(queries=QUERIES, gallery=QUERIES, classes=50, rows=rows)


def test_a_gain_is_one_sentence() -> None:
    assert verdict(metrics(767, 801, 838)) == (
        "From 76.7 % (pretrained features) to 83.8 % Recall@1, MAP@R 31.9 to 41.7; whitening alone: 80.1 %."
    )


def test_one_picture_is_no_difference() -> None:
    told = verdict(metrics(767, 837, 838))
    assert told.endswith("Recall@1 against whitening alone: no difference that these 1,000 pictures could show.")
    told = verdict(metrics(838, 838, 838))
    assert "against pretrained features and whitening alone: no difference" in told


def test_a_loss_is_told_with_its_remedy() -> None:
    found = metrics(767, 838, 801)
    assert [row.kind for row in made_worse(found)] == ["untrained"]
    assert "Training made it worse than whitening alone. Try a lower optimizer.learning_rate" in verdict(found)
    assert "worse than pretrained features and whitening alone" in verdict(metrics(838, 838, 767))


def test_what_is_not_known_is_not_told() -> None:
    found = metrics(767, 801, 838)
    alone = dataclasses.replace(found, rows=found.rows[2:])
    assert verdict(alone) == "Recall@1 83.8 %, MAP@R 41.7."
    without_map = dataclasses.replace(found, rows=(found.rows[0], row("ensemble", "trained embedding", 838, None)))
    assert verdict(without_map) == "From 76.7 % (pretrained features) to 83.8 % Recall@1."


def test_another_k_than_the_start_was_measured_at() -> None:
    found = metrics(767, 801, 838)
    other = dataclasses.replace(found, rows=(*found.rows[:2], row("ensemble", "trained embedding", 990, 0.417, k=10)))
    assert verdict(other) == "Recall@10 99.0 %, MAP@R 41.7."
