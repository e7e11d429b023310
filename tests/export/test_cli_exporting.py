"""``bier export`` as a person meets it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from bier.cli import main
from bier.export import OnnxEncoder


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, error = capsys.readouterr()
    code = stopped.value.code
    return (code if isinstance(code, int) else 0), out, error


@pytest.mark.slow
def test_int8_from_a_run_alone(int8_export: tuple[Path, str]) -> None:
    path, text = int8_export
    assert "parity before int8: 30 pictures in batches of 1, 3, 8: vectors differ by at most" in text
    assert "the same top 10 for 30 of 30" in text
    assert "int8 on 30 pictures of 5 classes: Recall@1" in text
    assert "as fast as float32" in text
    assert text.count("\n") == 4, "nothing of other programs"
    found = OnnxEncoder.load(path).description["quantization"]
    assert found["calibration_pictures"] == 30, "the run's training pictures"
    exact, small = (found[key]["1"] for key in ("recall_float32", "recall_int8"))
    assert f"Recall@1 {100 * exact:.1f} → {100 * small:.1f} % ({100 * (small - exact):+.1f})" in text


def test_a_torch_program_with_pictures_of_ones_own(
    run_folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "alone.safetensors"
    shutil.copy(run_folder / "model.safetensors", model)
    out = tmp_path / "model.pt2"
    code, text, _ = run(["export", str(model), "--to", "torch", "--images", str(photos), "-o", str(out)], capsys)
    assert code == 0
    assert "parity: 60 pictures" in text
    assert out.stat().st_size > 1e6


MISTAKES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown format": (["{run}", "--to", "tflite", "-o", "{tmp}/m.onnx"], ("tflite", "onnx")),
    "no out": (["{run}", "--to", "onnx"], ("--out",)),
    "no model": (["{tmp}/none", "--to", "onnx", "-o", "{tmp}/m.onnx"], ("none", "no such file", "→")),
    "no images": (["{tmp}/bare.safetensors", "--to", "onnx", "-o", "{tmp}/m.onnx"], ("bare", "--images PHOTOS")),
    "images gone": (["{tmp}/moved", "--to", "onnx", "-o", "{tmp}/m.onnx"], ("no longer at", "--images PHOTOS")),
    "images wrong": (["{run}", "--to", "onnx", "-o", "{tmp}/m.onnx", "--images", "{tmp}/none"], ("none", "→")),
    "images broken": (
        ["{run}", "--to", "onnx", "-o", "{tmp}/m.onnx", "--images", "{tmp}/broken"],
        ("0 of 4 pictures can be read", "--images"),
    ),
    "wrong suffix": (["{run}", "--to", "torch", "-o", "{tmp}/m.onnx"], ("m.onnx", "m.pt2")),
    "a folder": (["{run}", "--to", "onnx", "-o", "{tmp}/moved"], ("moved", "moved.onnx")),
    "a file": (["{run}", "--to", "safetensors-hub", "-o", "{tmp}/bare.safetensors"], ("bare", "folder")),
    "int8 elsewhere": (["{run}", "--to", "torch", "--int8", "-o", "{tmp}/m.pt2"], ("--int8", "--to onnx")),
    "push elsewhere": (["{run}", "--to", "onnx", "--push", "a/b", "-o", "{tmp}/m.onnx"], ("--push", "safetensors-hub")),
    "unwritable": (["{run}", "--to", "safetensors-hub", "-o", "{tmp}/bare.safetensors/x"], ("cannot be written", "→")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_message_and_exit_code_2(
    mistake: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(run_folder / "model.safetensors", tmp_path / "bare.safetensors")
    (tmp_path / "moved").mkdir()
    for name in ("model.safetensors", "config.yaml"):
        shutil.copy(run_folder / name, tmp_path / "moved" / name)
    provenance = json.loads((run_folder / "provenance.json").read_text())
    provenance["data"]["path"] = str(tmp_path / "gone")
    (tmp_path / "moved" / "provenance.json").write_text(json.dumps(provenance))
    for label in "ab":
        (tmp_path / "broken" / label).mkdir(parents=True)
        for name in "12":
            (tmp_path / "broken" / label / f"{name}.jpg").write_bytes(b"<html>")
    arguments, expected = MISTAKES[mistake]
    before = sorted(tmp_path.rglob("*"))
    code, out, error = run(["export", *(word.format(tmp=tmp_path, run=run_folder) for word in arguments)], capsys)
    assert code == 2
    assert error.startswith("error: ")
    assert "Traceback" not in error + out
    for part in expected:
        assert part in error
    assert sorted(tmp_path.rglob("*")) == before, "nothing half-written"


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(
    package: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    code, _, error = run(["export", str(run_folder), "--to", "onnx", "-o", str(tmp_path / "m.onnx")], capsys)
    assert code == 2
    assert f"the package {package}" in error
    assert "bier-dml[export]" in error
    assert not list(tmp_path.iterdir())
