"""The torch program runs without bier and gives the model's vectors."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bier import search
from bier.cli import main
from bier.errors import ModelError
from bier.export import ProgramEncoder, load_encoder, write_program
from bier.search import IndexInfo, create_index
from bier.vectors.encoder import Encoder

ALONE = """
import json, sys, torch
class Blocked:
    def find_spec(self, name, *rest):
        assert name.partition(".")[0] not in ("bier", "timm"), name
sys.meta_path.insert(0, Blocked())
about = {"bier.json": ""}
program = torch.export.load(sys.argv[1], extra_files=about).module()
images = torch.load(sys.argv[2], weights_only=True)
vectors = [program(images[:3]), program(images[:1])]
torch.save(vectors, sys.argv[3])
print(about["bier.json"])
"""


@pytest.mark.slow
def test_it_runs_without_bier(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    parity = write_program(encoder, tmp_path / "m.pt2", images)
    assert parity.holds
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]
    exported = load_encoder(tmp_path / "m.pt2", trust_code=True)
    assert isinstance(exported, ProgramEncoder)
    assert (exported.fingerprint, exported.sizes) == (encoder.fingerprint, encoder.sizes)
    copy = pickle.loads(pickle.dumps(exported))  # noqa: S301 - as Ray does with what this process gives it
    assert torch.equal(copy.encode(images[:3]), exported.encode(images[:3]))
    torch.testing.assert_close(exported.encode(list(images[:8])), encoder.encode(images[:8]), atol=1e-5, rtol=0)

    torch.save(images, tmp_path / "images")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *(str(tmp_path / name) for name in ("m.pt2", "images", "vectors"))],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == dict(exported.description)
    for vectors in torch.load(tmp_path / "vectors", weights_only=True):
        torch.testing.assert_close(vectors.detach(), encoder.encode(images[: len(vectors)]), atol=1e-5, rtol=0)


def test_a_program_that_is_another_model_is_not_kept(
    encoder: Encoder, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProgramEncoder, "_run", lambda self, batch: 1.001 * encoder.encode(batch))
    with pytest.raises(ModelError, match="would not be the same model"):
        write_program(encoder, tmp_path / "m.pt2", images)
    assert not list(tmp_path.iterdir())


def crafted(file: Path, of: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    """A torch program with one part changed."""
    with zipfile.ZipFile(of) as archive, zipfile.ZipFile(file, "w") as other:
        for entry in archive.infolist():
            content = archive.read(entry)
            other.writestr(entry.filename, change(content) if entry.filename.endswith(part) else content)
    return file


class Touch:
    """Pickled, it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, Path]:
    """Programs that run a command when torch loads them; each would make the folder ``ran``."""
    program = torch.export.export(
        torch.nn.Linear(2, 2), (torch.zeros(3, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, tmp_path / "good.pt2")
    evil = f"__import__('os').mkdir('{tmp_path / 'ran'}')"
    pickled = io.BytesIO()
    torch.save(Touch(tmp_path / "ran"), pickled)
    return {
        "expression": crafted(
            tmp_path / "expression.pt2",
            tmp_path / "good.pt2",
            "model.json",
            lambda content: re.sub(rb"Symbol\('\w+', positive=True, integer=True\)", evil.encode(), content),
        ),
        "pickle": crafted(
            tmp_path / "pickle.pt2", tmp_path / "good.pt2", "sample_inputs/model.pt", lambda content: pickled.getvalue()
        ),
    }


def test_the_crafted_programs_are_hostile(hostile: dict[str, Path], tmp_path: Path) -> None:
    """Torch itself runs what is hidden in the expression; else the next tests would show nothing."""
    with contextlib.suppress(Exception):
        torch.export.load(hostile["expression"])
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["expression", "pickle"])
def test_nothing_in_a_program_runs_unless_it_is_trusted(kind: str, hostile: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"may run any command[\s\S]*--trust-code"):
        load_encoder(hostile[kind])
    for command in (
        ["embed", str(hostile[kind]), str(tmp_path), "-o", str(tmp_path / "vectors")],
        ["index", str(tmp_path), "-o", str(tmp_path / "index"), "--model", str(hostile[kind])],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["expression", "pickle"])
def test_an_index_never_leads_to_a_program(kind: str, hostile: dict[str, Path], tmp_path: Path) -> None:
    info = IndexInfo("fingerprint", sizes=(2,), scales=(1.0,), model_path=str(hostile[kind]))
    with create_index(tmp_path / "index", info, "exact") as index:
        for trust_code in (False, True):
            with pytest.raises(ModelError, match="may run any command"):
                search.load_encoder(index, trust_code=trust_code)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_program_of_ours_holds_no_sample_inputs(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    write_program(encoder, tmp_path / "m.pt2", images)
    with zipfile.ZipFile(tmp_path / "m.pt2") as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist() if "sample_inputs" in entry.filename}
    assert set(sizes.values()) <= {0}
