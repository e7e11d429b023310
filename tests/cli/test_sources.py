"""Every command reads a source in the same way, and says what it passed over."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from bier.cli import main

SMALL = {
    "image.size": "32",
    "optimizer.epochs": "1",
    "optimizer.freeze": "0",
    "data.classes_per_batch": "2",
    "data.images_per_class": "2",
    "data.validation_classes": "0",
    "data.workers": "1",
    "model.backbone": "test_resnet",
    "model.weights": "none",
    "model.sizes": "[8, 16]",
    "diversity.hidden": "16",
    "hardware.threads": "1",
}
PASSED_OVER = "passed over: 2 .dng (export it as JPEG or PNG)"


def pictures() -> Iterator[tuple[str, str, bytes]]:
    """Class, file and content of three pictures of each of five classes."""
    noise = np.random.default_rng(0)
    for label in ("boot", "hat", "shoe", "sock", "tie"):
        for number in range(3):
            buffer = io.BytesIO()
            Image.fromarray(noise.integers(0, 255, (40, 40, 3), np.uint8)).save(buffer, "PNG")
            yield label, f"{number}.png", buffer.getvalue()


def folder(place: Path) -> Path:
    for label, name, data in pictures():
        (place / label).mkdir(parents=True, exist_ok=True)
        (place / label / name).write_bytes(data)
    for name in ("boot/1.dng", "hat/2.dng", "boot/._1.png"):
        (place / name).touch()
    return place


def table(place: Path) -> Path:
    rows = [{"image": {"bytes": data, "path": f"{label}-{name}"}, "label": label} for label, name, data in pictures()]
    place.mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), place / "train.parquet", row_group_size=4)
    return place / "train.parquet"


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    out, error = capsys.readouterr()
    return int(stopped.value.code or 0), out + error


@pytest.mark.parametrize(("make", "said"), [(folder, True), (table, False)])
def test_from_check_to_search(tmp_path, capsys, make, said):
    source, trained = make(tmp_path / "source"), tmp_path / "run"
    settings = [text for name, value in SMALL.items() for text in ("--set", f"{name}={value}")]
    commands = {
        "check": ("data", "check", source),
        "train": ("train", source, "--out", trained, *settings),
        "embed": ("embed", trained, source, "--out", tmp_path / "vectors", "--device", "cpu", "--workers", "1"),
        "index": ("index", source, "--model", trained, "--out", tmp_path / "index", "--engine", "exact"),
    }
    for name, command in commands.items():
        code, out = run(capsys, *command)
        assert code == 0, out
        assert (PASSED_OVER in out) == said, (name, out)
        assert "left out" not in out
    _, _, data = next(pictures())
    (tmp_path / "query.png").write_bytes(data)
    page = tmp_path / "page.html"
    code, out = run(capsys, "search", tmp_path / "index", tmp_path / "query.png", "--top", "2", "--html", page)
    assert code == 0, out
    assert "boot" in out.split("1.0000")[1].splitlines()[0]
    assert page.read_text().count("data:image/jpeg") == 3
    assert (trained / "report.html").read_text().count("data:image/jpeg") > 3
