"""``bier embed`` as a person meets it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from bier.cli import main
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.vectors.parts import read_info


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, error = capsys.readouterr()
    return int(stopped.value.code or 0), " ".join(out.split()), " ".join(error.split())


def test_from_photographs_to_vectors(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = RetrievalModel(create_backbone("efficientnet_lite0"), EmbeddingEnsemble(1280, (4, 12)))
    save_model(tmp_path / "model.safetensors", model, {"size": 48, "fit": "crop"})
    folder = next((photographs / "cars196" / "images").iterdir())
    (tmp_path / "photos").mkdir()
    for picture in sorted(folder.iterdir())[:5]:
        shutil.copy(picture, tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    command = ["embed", str(tmp_path / "model.safetensors"), str(tmp_path / "photos"), "-o", str(tmp_path / "out")]
    command += ["--type", "int8", "--workers", "0", "--device", "cpu", "--learners"]
    code, out, _ = run([*command, "1"], capsys)
    assert code == 0
    assert "5 vectors of 4 dimensions, int8" in out
    assert "images/s" in out
    assert "left out: 1, see" in out
    assert read_info(tmp_path / "out").complete
    assert "there already" in run([*command, "1"], capsys)[1]
    code, _, error = run([*command, "2"], capsys)
    assert code == 2
    assert "holds vectors of 1 learners" in error
    code, _, error = run([*command, "9"], capsys)
    assert code == 2
    assert "no prefix of 9 learners" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model"], "out"),
        (["model", "-o", "out"], "no pictures given"),
        (["model", "photos", "-o", "out"], "model: no such file"),
        (["model", "photos", "-o", "out", "--type", "int4"], "int4"),
        (["model", "photos", "-o", "out", "--batch-size", "many"], "many"),
    ],
)
def test_mistakes_are_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(["embed", *arguments], capsys)
    assert code == 2
    assert message in error
    assert "Traceback" not in error


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["embed", "--help"], capsys)
    assert code == 0
    for option in ("--out", "-o", "--type", "--learners", "--batch-size", "--workers", "--precision", "--device"):
        assert option in out
