"""Damage of a file of tensors is noticed, wherever it lies."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bier.errors import ModelError
from bier.system.json_values import anything
from bier.system.tensors import (
    MODEL_FORMAT,
    STATE_FORMAT,
    load_tensors,
    refuse_non_finite,
    save_tensors,
    tensor_checksum,
)

CONTENT = {"sizes": (8, 16), "name": "größe", "history": [{"loss": 0.1, "score": float("nan")}]}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(64, 32, generator=generator),
        "half": torch.randn(7, 3, generator=generator).bfloat16(),
        "step": torch.tensor(5.0),
        "count": torch.tensor([3, 4]),
        "mask": torch.tensor([True, False]),
        "none": torch.zeros(0, 4),
    }


def test_they_come_back(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_tensors(path, tensors(), STATE_FORMAT, CONTENT)
    found, content = load_tensors(path, STATE_FORMAT, anything)
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    assert content["sizes"] == [8, 16]
    assert content["name"] == "größe"


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    given = tensors()
    save_tensors(tmp_path / "one", given, STATE_FORMAT, CONTENT)
    save_tensors(tmp_path / "two", dict(reversed(given.items())), STATE_FORMAT, CONTENT)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("where", ["header", "tensors"])
def test_one_flipped_bit_is_noticed(where: str, tmp_path: Path) -> None:
    path, chance = tmp_path / "state", random.Random(0)
    save_tensors(path, tensors(), STATE_FORMAT, CONTENT)
    good = path.read_bytes()
    begin = 8 + int.from_bytes(good[:8], "little")
    places = range(begin) if where == "header" else range(begin, len(good))
    unnoticed = []
    for _ in range(300):
        place, bit = chance.choice(places), chance.randrange(8)
        bad = bytearray(good)
        bad[place] ^= 1 << bit
        path.write_bytes(bad)
        try:
            load_tensors(path, STATE_FORMAT, anything)
        except ModelError:
            continue
        unnoticed.append((place, good[place : place + 1], bytes(bad[place : place + 1])))
    assert not unnoticed


def test_the_damaged_tensor_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_tensors(path, tensors(), STATE_FORMAT, CONTENT)
    content = path.read_bytes()
    place = content.index(tensors()["weight"].numpy().tobytes())
    path.write_bytes(content[: place + 9] + bytes([content[place + 9] ^ 4]) + content[place + 10 :])
    with pytest.raises(ModelError, match="is damaged: the tensor 'weight' is not what was written"):
        load_tensors(path, STATE_FORMAT, anything)


def test_type_and_shape_belong_to_the_checksum() -> None:
    zeros = torch.zeros(4, 2)
    others = [torch.zeros(2, 4), torch.zeros(8), zeros.int(), torch.zeros(4, 1, dtype=torch.float64), zeros[:, :1]]
    assert len({tensor_checksum(tensor) for tensor in (zeros, *others)}) == 6


def test_a_file_without_checksums_opens(tmp_path: Path) -> None:
    metadata = {"bier": '{"format": "bier-model-1", "content": {"a": 1}}'}
    save_file({"weight": torch.ones(3)}, tmp_path / "older", metadata=metadata)
    found, content = load_tensors(tmp_path / "older", MODEL_FORMAT, anything)
    assert torch.equal(found["weight"], torch.ones(3))
    assert content == {"a": 1}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_mode_is_that_of_other_files(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save_tensors(tmp_path / "state", tensors(), STATE_FORMAT, CONTENT)
        (tmp_path / "other").touch()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("state", "other")}
    assert modes == {0o666 & ~umask}


def test_a_name_that_is_too_long_is_no_file() -> None:
    with pytest.raises(ModelError, match="File name too long"):
        load_tensors(Path("x" * 300), STATE_FORMAT, anything)


def test_a_sum_that_is_too_large_is_no_infinity() -> None:
    refuse_non_finite([("large", torch.full((4,), 3e38)), ("half", torch.full((9,), 6e4).half())], "model")
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ModelError, match=r"model: the tensor 'w' holds NaN or infinity \(1 of 3 entries\)"):
            refuse_non_finite([("w", torch.tensor([1.0, bad, -3e38]))], "model")
