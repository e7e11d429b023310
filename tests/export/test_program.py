"""The torch program runs without bier and gives the model's vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bier.errors import ModelError
from bier.export import ProgramEncoder, load_encoder, write_program
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


def test_it_runs_without_bier(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    parity = write_program(encoder, tmp_path / "m.pt2", images)
    assert parity.holds
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]
    exported = load_encoder(tmp_path / "m.pt2")
    assert isinstance(exported, ProgramEncoder)
    assert (exported.fingerprint, exported.sizes) == (encoder.fingerprint, encoder.sizes)
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
