"""Every screen, every kind of tile and any number of processes give the ranks of float64."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from bier.evaluate.engine import hardest, positives, ranks, sweep
from bier.evaluate.engine.ranking import Wanted
from bier.evaluate.engine.screen import Screen
from bier.evaluate.engine.table import Table, View, views
from bier.evaluate.engine.tiles import TorchTiles
from bier.system.processes import Processes

AT_R = Wanted(("map_at_r", "r_precision"))
BFLOAT16, FLOAT32 = torch.bfloat16, torch.float32


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tiles, spans and refills in small cases."""
    monkeypatch.setattr(sweep, "TILE", 16)
    monkeypatch.setattr(sweep, "_WAITING", 20)
    monkeypatch.setattr(hardest, "_SAMPLE", 16)
    monkeypatch.setattr(hardest, "_ENTRIES", 50)
    monkeypatch.setattr(positives, "_ROWS", 8)
    monkeypatch.setattr(positives, "_SCORES", 60)
    monkeypatch.setattr(ranks, "_AT_ONCE", 7)


def random_tables(seed: int) -> tuple[Table, Table | None, list[View]]:
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 40, size=draw.integers(1, 4))
    classes = int(draw.integers(1, 40))
    spread = draw.choice([0.1, 0.5, 2.0])
    normalised = len(sizes) > 1 or draw.random() < 0.7
    centers = [draw.normal(size=(classes, size)) + draw.choice([0, 1]) for size in sizes]

    def table(count: int, first: int) -> Table:
        codes = draw.integers(0, classes, size=count)
        parts = [center[codes] + spread * draw.normal(size=(count, center.shape[1])) for center in centers]
        if draw.random() < 0.5:
            copies = draw.integers(0, count, size=count // 2)
            for part in parts:
                part[: len(copies)] = part[copies]
        tensors = tuple(torch.from_numpy(part).to(torch.float32) for part in parts)
        norms = tuple(torch.linalg.vector_norm(part.double(), dim=1) for part in tensors)
        return Table(tensors, norms if normalised else None, codes, np.arange(first, first + count))

    query = table(int(draw.integers(20, 130)), 0)
    gallery = table(int(draw.integers(20, 130)), 1000) if draw.random() < 0.4 else None
    weights = draw.random(len(sizes)) + 0.1
    return query, gallery, views((weights / weights.sum()).tolist())


def assert_equal(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        for values, right in zip(one.columns(), other.columns(), strict=True):
            np.testing.assert_array_equal(values, right)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("at_r", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [pytest.param("numpy", marks=pytest.mark.slow), "torch"])
@pytest.mark.parametrize(
    "ladder", [*(pytest.param([one], marks=pytest.mark.slow) for one in (FLOAT32, BFLOAT16)), [BFLOAT16, FLOAT32]]
)
def test_screens_change_no_rank(ladder: list[torch.dtype], kind: str, at_r: bool, monkeypatch: Any) -> None:
    if kind == "torch":  # what runs on a GPU
        monkeypatch.setattr(sweep, "tiles_for", TorchTiles)
    decided = 0
    left = ranks._Search.rank_exactly

    def count(search: Any, of: Any, queries: Any, relevance: Any) -> None:
        nonlocal decided
        decided += len(search.query) - len(queries)
        left(search, of, queries, relevance)

    monkeypatch.setattr(ranks._Search, "rank_exactly", count)
    for seed in range(60):
        query, gallery, of = random_tables(seed)
        exactly = ranks.rank(query, gallery, of, AT_R if at_r else Wanted(), ladder=[])
        before = decided
        assert_equal(ranks.rank(query, gallery, of, AT_R if at_r else Wanted(), ladder=ladder), exactly)
        decided = max(before, decided)
    assert decided > 60, "the screens decided next to nothing"


@pytest.mark.parametrize("dtype", [BFLOAT16, FLOAT32])
@pytest.mark.parametrize("kind", ["normal", "positive", "one large", "tiny"])
def test_errors_stay_below_the_margin(dtype: torch.dtype, kind: str) -> None:
    for size in (1, 7, 512, 2048):
        draw = torch.randn(200, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
        draw = {"normal": draw, "positive": draw.abs() + 1, "one large": draw.clone(), "tiny": draw * 1e-12}[kind]
        if kind == "one large":
            draw[0] *= 1e6
        for normalised in (True, False):
            norms = (torch.linalg.vector_norm(draw, dim=1),) if normalised else None
            table = Table((draw,), norms, np.zeros(200, int), np.arange(200))
            screen = Screen(dtype, views([1.0]), [size], [1.0])
            operand = screen.operand(table, np.arange(200))
            exact = draw / draw.norm(dim=1, keepdim=True) if normalised else draw
            ((_, products),) = screen.products(operand.values, operand.values, None)
            bound = screen.margins(operand, operand) + screen.rounding(operand, operand)
            error = (products.double() - exact @ exact.T).abs().numpy().max(1)
            assert (error <= bound[0]).all()
            if kind == "normal" and size == 512:
                assert bound.max() < 50 * error.max() or dtype == FLOAT32, "a bound so loose is of no use"


def test_a_programs_lower_precision_is_not_taken_over() -> None:
    query, _, of = random_tables(5)
    before = torch.get_float32_matmul_precision()
    expected = ranks.rank(query, None, of, AT_R, ladder=[])
    try:
        torch.set_float32_matmul_precision("medium")
        assert_equal(ranks.rank(query, None, of, AT_R, ladder=[FLOAT32]), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


PROGRAM = """
import json, os, sys
import numpy as np
import torch
from torch import distributed
from bier.evaluate import evaluate_learners, evaluate_retrieval

if "RANK" in os.environ:
    distributed.init_process_group("gloo")
draw = np.random.default_rng(0)
labels = draw.integers(0, 300, size=3001)
vectors = (draw.normal(size=(300, 24))[labels] + 1.2 * draw.normal(size=(3001, 24))).astype(np.float32)
vectors[:40] = vectors[100:140]
found = {}
for name, options in (
    ("self", {}),
    ("map", {"metrics": ("recall", "map")}),
    ("gallery", {"gallery": vectors[1000:], "gallery_labels": labels[1000:]}),
):
    side = slice(0, 1000) if name == "gallery" else slice(None)
    result = evaluate_retrieval(vectors[side], labels[side], distributed=True, **options)
    found[name] = {key: values.tolist() for key, values in result.per_query.items()}
    found[name]["recall"] = result.recall
parts = [torch.from_numpy(part) for part in np.split(vectors, [8], axis=1)]
found["learners"] = evaluate_learners(parts, [1 / 3, 2 / 3], labels, distributed=True)
with open(f"{sys.argv[1]}/{os.environ.get('WORLD_SIZE', 1)}-{os.environ.get('RANK', 0)}.json", "w") as file:
    json.dump(found, file)
if "RANK" in os.environ:
    distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("most", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_one_two_and_three_processes_agree_to_the_last_digit(most: int, tmp_path: Any) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    counts = range(1, most + 1)
    for count in counts:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        command = [sys.executable, *(torchrun if count > 1 else []), str(tmp_path / "program.py"), str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert len(found) == sum(counts)
    assert all(json.dumps(other) == json.dumps(found[0]) for other in found[1:])


def test_work_is_shared_without_rest_or_overlap() -> None:
    shares = [list(Processes(rank, 3).share(range(10))) for rank in range(3)]
    assert sorted([*shares[0], *shares[1], *shares[2]]) == list(range(10))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("dtype", [BFLOAT16, FLOAT32])
def test_a_crowd_of_negatives_within_the_error_of_the_screen(dtype: torch.dtype) -> None:
    scatter = 0.05 if dtype == BFLOAT16 else 2e-3  # scores apart by about as much as the screen's error
    for seed in range(40):
        draw = np.random.default_rng(seed)
        vectors = torch.from_numpy(1 + scatter * draw.normal(size=(60, 24))).float()
        norms = (torch.linalg.vector_norm(vectors.double(), dim=1),)
        table, of = Table((vectors,), norms, draw.integers(0, 12, size=60), np.arange(60)), views([1.0])
        for at_r in (False, True):
            exactly = ranks.rank(table, None, of, AT_R if at_r else Wanted(), ladder=[])
            assert_equal(ranks.rank(table, None, of, AT_R if at_r else Wanted(), ladder=[dtype]), exactly)
