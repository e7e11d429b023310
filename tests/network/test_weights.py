"""Files of weights from anywhere: they take no more memory than they are large, and hold numbers."""

from __future__ import annotations

import resource
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bier.errors import ModelError
from bier.network.create import create_backbone
from bier.network.weights import read_weights

WEIGHT = torch.arange(12.0).view(3, 4)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_honest_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file({"a": WEIGHT}, path)
    else:
        transposed = {"module.a": WEIGHT, "part": WEIGHT[1:, :2].T, "none": torch.zeros(0)}
        torch.save(transposed, path, _use_new_zipfile_serialization=kind == "zip")
    assert torch.equal(read_weights(path)["a"], WEIGHT)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """100 kB that would become 100 MB."""
    torch.save({"a": torch.zeros(25_000_000)}, tmp_path / "large.pth")
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(tmp_path / "large.pth") as large, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as small:
        for entry in large.infolist():
            small.writestr(entry.filename, large.read(entry.filename))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"compressed archive, of 100,\d{3},\d{3} bytes"):
        read_weights(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "kB that it took"


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(torch.zeros(1, 1).expand(10**9, 512), id="one entry said to be many"),
        pytest.param(torch.empty(10**6, 10**6, device="meta"), id="no entry at all"),
        pytest.param(torch.zeros(3, 3).to_sparse(), id="sparse"),
    ],
)
def test_tensors_that_are_not_there_are_refused(tensor: Tensor, tmp_path: Path) -> None:
    """Else a classifier of 10^9 classes would be built for the first one."""
    torch.save({"fc.weight": tensor}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"does not hold tensors by name|not a file of weights"):
        create_backbone("resnet18", str(tmp_path / "w.pth"))


@pytest.mark.parametrize("state", [{1: WEIGHT}, {None: WEIGHT}, {"a": 1}, [WEIGHT], {"state_dict": {2: WEIGHT}}])
def test_other_things_are_refused(state: object, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="does not hold tensors by name"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(bad: float, tmp_path: Path) -> None:
    save_file({"good": WEIGHT, "bad": torch.tensor([1.0, bad, bad])}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"'bad' holds NaN or infinity \(2 of 3 entries\)"):
        read_weights(tmp_path / "w.safetensors")
