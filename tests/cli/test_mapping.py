"""Maps on the command line: of an index, and of a run's test pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import run
from folders import some_birds
from tiny_runs import TINY

import bier
from bier.search import IndexInfo, create_index
from bier.search.map_file import read_map

INFO = IndexInfo("fingerprint-of-a-model", sizes=(6,), scales=(1.0,))


def filled(folder: Path, count: int) -> Path:
    vectors = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    with create_index(folder, INFO, "exact") as index:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        index.add([f"{number}.jpg" for number in range(count)], unit, [{}] * count)
    return folder


@pytest.mark.slow
def test_an_index_gets_a_map_and_three_pictures_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = filled(tmp_path / "shop", 12)
    code, out, _ = run(capsys, "index", "map", shop)
    assert (code, out) == (0, f"the map holds 12 pictures\nnext: bier serve {shop}\n")
    drawn = read_map(shop, INFO)
    assert drawn is not None and len(drawn.ids) == 12
    few = filled(tmp_path / "few", 3)
    code, _, error = run(capsys, "index", "map", few)
    assert code == 2
    assert error.splitlines() == [f"error: {few}: a map of 3 pictures shows nothing", "  → give 10 pictures or more"]
    assert not (few / "map.json").exists()


def test_a_map_is_of_a_runs_own_test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (["pictures"], ["--split", "train"], ["-o", str(tmp_path / "metrics.json")]):
        code, _, error = run(capsys, "evaluate", tmp_path, *more, "--map")
        assert code == 2
        assert f"--map is of a run's own test pictures\n  → write: bier evaluate {tmp_path} --map, and no more" in error


@pytest.mark.slow
def test_a_run_gets_a_map_in_its_report(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some_birds(photographs, tmp_path / "birds", classes=8, images=4)
    folder = tmp_path / "run"
    bier.train(str(tmp_path / "birds"), {**TINY, "optimizer": {"epochs": 1}, "model.refit": False}, folder)
    assert run(capsys, "report", folder)[0] == 0
    assert 'class="map-data"' not in (folder / "report.html").read_text(encoding="utf-8")
    assert run(capsys, "evaluate", folder, "--map")[0] == 0
    assert run(capsys, "report", folder)[0] == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    [data] = page.split('class="map-data">')[1:]
    told = json.loads(data.split("</script>")[0])
    assert len(told["ids"]) == len(told["right"]) == 16
    assert all((tmp_path / "birds" / name).is_file() for name in told["ids"])
    assert run(capsys, "evaluate", folder)[0] == 0
    assert run(capsys, "report", folder)[0] == 0
    assert "is of an earlier evaluation" in (folder / "report.html").read_text(encoding="utf-8")
