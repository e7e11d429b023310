"""The six examples of docs/extending.md, run from a package outside of ours, as a stranger would install it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import some_birds

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SMALL = (
    "image.size=32",
    "optimizer.epochs=4",
    "model.sizes=[4, 8]",
    "model.backbone=thumbnail_net",
    "data.classes_per_batch=3",
    "data.images_per_class=2",
    "data.validation_classes=0.4",
    "data.workers=0",
    "hardware.threads=1",
)
Bier = Callable[..., str]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page: its files, and what an installer writes beside them."""
    place = tmp_path_factory.mktemp("site-packages")
    text = PAGE.read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, f"a block does not begin with its file's name: {block[:60]}"
        (place / name[1]).write_text(block, encoding="utf-8")
    found = re.search(r"^```toml\n(.*?)^```", text, flags=re.S | re.M)
    assert found
    project = tomllib.loads(found[1])["project"]
    about = place / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in members.items())])
        for group, members in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n\n".join(groups) + "\n", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def python(shop: Path) -> Bier:
    """Run Python with that package installed; gives what it prints."""
    path = os.pathsep.join([str(shop), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def photos(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of birds, listed in the shop's own format."""
    folder = some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=7)
    rows = [{"file": str(file), "product": file.parent.name} for file in sorted(folder.rglob("*.jpg"))]
    listed = folder.parent / "catalogue.jsonl"
    listed.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return listed


@pytest.fixture(scope="module")
def run(python: Bier, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the shop's dataset, backbone, loss and callback."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = dict(setting.split("=", 1) for setting in (*SMALL, "loss.name=quadruplet", "loss.options.margin=0.3"))
    changes = {key: json.loads(value) if value[0] in "[0123456789" else value for key, value in settings.items()}
    python(
        "-c",
        "import bier, json, sys; from shop_callback import StopWhenSettled\n"
        "source, out, settings = sys.argv[1:]\n"
        "bier.train(source, json.loads(settings), out, callbacks=[StopWhenSettled(patience=0)], quiet=True)",
        str(photos),
        str(folder),
        json.dumps(changes),
    )
    return folder


@pytest.mark.slow
def test_a_dataset_a_backbone_a_loss_and_a_callback_from_outside(run: Path) -> None:
    provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["data"]["source"] == "catalogue.jsonl"
    assert provenance["backbone"]["name"] == "thumbnail_net"
    assert "quadruplet" in (run / "config.yaml").read_text(encoding="utf-8")
    epochs = (run / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(epochs) == 1, "the callback ended it after the first epoch of four"


@pytest.mark.slow
def test_a_metric_from_outside(run: Path, python: Bier) -> None:
    printed = python("-m", "bier.cli", "evaluate", str(run), "--also", "reciprocal_rank")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    [row] = (row for row in metrics["rows"] if row["kind"] == "ensemble")
    assert row["recall"]["1"] <= row["reciprocal_rank"] <= 1
    assert f"{100 * row['reciprocal_rank']:.1f}" in printed


@pytest.mark.slow
def test_a_search_engine_from_outside(run: Path, photos: Path, python: Bier, tmp_path: Path) -> None:
    first = json.loads(photos.read_text(encoding="utf-8").splitlines()[0])["file"]
    bier = ("-m", "bier.cli")
    pictures = str(Path(first).parent)
    python(*bier, "index", pictures, "-o", str(tmp_path / "index"), "--model", str(run), "--engine", "one_array")
    printed = python(*bier, "search", str(tmp_path / "index"), first, "--top", "3")
    assert "1.000" in printed
    assert Path(first).name in printed
