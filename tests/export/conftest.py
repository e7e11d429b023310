"""A model that was really trained, and its ONNX file: made once, for they take seconds."""

from __future__ import annotations

import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from torch import Tensor

from bier.cli import main
from bier.data import open_source
from bier.export import Parity, sample, write_onnx
from bier.vectors.encoder import Encoder

SETTINGS = (
    "image.size=64",
    "optimizer.epochs=1",
    "optimizer.freeze=8",
    "data.classes_per_batch=3",
    "data.images_per_class=2",
    "data.workers=0",
    "model.sizes=[8, 16]",
    "model.refit=false",  # whether a head is turned hangs on a validation of few pictures
    "diversity.hidden=16",
    "hardware.threads=1",
)


@pytest.fixture(scope="session")
def photos(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of six photographs of cars, in class folders."""
    root = tmp_path_factory.mktemp("cars")
    for folder in sorted((photographs / "cars196" / "images").iterdir())[:10]:
        (root / folder.name).mkdir()
        for picture in sorted(folder.iterdir())[:6]:
            shutil.copy(picture, root / folder.name / picture.name)
    return root


@pytest.fixture(scope="session")
def run_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``bier train`` leaves, with figures on the last five classes."""
    folder = tmp_path_factory.mktemp("runs") / "cars"
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(photos), *settings, "--out", str(folder)])
    assert not stopped.value.code
    return folder


@pytest.fixture(scope="session")
def encoder(run_folder: Path) -> Encoder:
    return Encoder.load(run_folder)


@pytest.fixture(scope="session")
def images(encoder: Encoder, photos: Path) -> Tensor:
    """Photographs ready for the model: uint8 (24, 3, 64, 64)."""
    return sample(open_source(photos), encoder.transform, 24)


@pytest.fixture(scope="session")
def onnx_export(encoder: Encoder, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parity]:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return path, write_onnx(encoder, path, images)


@pytest.fixture(scope="session")
def onnx_file(onnx_export: tuple[Path, Parity]) -> Path:
    return onnx_export[0]


@pytest.fixture(scope="session")
def int8_export(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The file and what ``bier export --int8`` prints, given nothing but the run."""
    path = tmp_path_factory.mktemp("int8") / "new" / "model.onnx"
    with redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as stopped:
        main(["export", str(run_folder), "--to", "onnx", "--int8", "-o", str(path)])
    assert not stopped.value.code
    return path, printed.getvalue()
