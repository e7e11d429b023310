"""In what precision vectors of an index and queries are computed: remembered, followed, and refused where they mix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run
from folders import drawn
from tiny_models import tiny_model

from bier.search import load_encoder, open_index
from bier.vectors.encoder import Encoder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return drawn(tmp_path / "photos", 8)[0].parent


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor that says it computes in bfloat16 itself. Those that do not are slow at it, and give the same."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    return monkeypatch


def scores(capsys: Any, index: Path, query: Path) -> list[float]:
    code, out, error = run(capsys, "search", index, query, "--json", "--exact")
    assert code == 0, error
    return [hit["score"] for hit in json.loads(out)["hits"]]


def test_an_index_remembers_its_precision_and_queries_follow_it_where_that_is_fast(
    capsys: Any, able: pytest.MonkeyPatch, photos: Path, model: Path, tmp_path: Path
) -> None:
    index, query = tmp_path / "index", photos / "1.png"
    assert run(capsys, "index", photos, "-o", index, "--model", model, "--engine", "exact")[0] == 0
    assert "computed in bfloat16" in run(capsys, "index", "info", index)[1]
    with open_index(index) as opened:
        encoder = load_encoder(opened)
    assert isinstance(encoder, Encoder)
    assert encoder.precision is torch.bfloat16
    alike = scores(capsys, index, query)
    code, _, error = run(capsys, "index", photos, "-o", index, "--model", model, "--precision", "float32")
    assert (code, "holds vectors computed in bfloat16" in error) == (2, True)
    able.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    able.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    mixed = scores(capsys, index, query)
    code, out, _ = run(capsys, "index", photos, "-o", index, "--model", model)
    assert (code, "computed in bfloat16, these are in float32" in out) == (0, True)
    assert 0 < max(abs(one - other) for one, other in zip(alike, mixed, strict=True)) < 0.02


@pytest.mark.slow
def test_float32_stays_float32_everywhere(
    capsys: Any, able: pytest.MonkeyPatch, photos: Path, model: Path, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    options = ("--model", model, "--engine", "exact", "--precision", "float32")
    assert run(capsys, "index", photos, "-o", index, *options)[0] == 0
    assert "precision" not in json.loads((index / "index.json").read_text())  # an earlier version reads it, too
    with open_index(index) as opened:
        encoder = load_encoder(opened)
    assert isinstance(encoder, Encoder)
    assert encoder.precision is torch.float32
    for more in ([], ["--precision", "float32"]):
        code, out, _ = run(capsys, "index", photos, "-o", index, "--model", model, *more)
        assert (code, "8 unchanged" in out) == (0, True)


@pytest.mark.slow
def test_vectors_of_embed_bring_their_precision(
    capsys: Any, able: pytest.MonkeyPatch, photos: Path, model: Path, tmp_path: Path
) -> None:
    vectors, index = tmp_path / "vectors", tmp_path / "index"
    assert run(capsys, "embed", model, photos, "-o", vectors, "--precision", "bfloat16")[0] == 0
    assert run(capsys, "index", vectors, "-o", index, "--engine", "exact")[0] == 0
    assert "computed in bfloat16" in run(capsys, "index", "info", index)[1]


def test_bfloat16_is_refused_where_it_would_be_slower(
    capsys: Any, able: pytest.MonkeyPatch, photos: Path, model: Path, tmp_path: Path
) -> None:
    able.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    able.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    options = ("--model", model, "--precision", "bfloat16")
    code, _, error = run(capsys, "index", photos, "-o", tmp_path / "index", *options)
    assert (code, "would be slower" in error) == (2, True)
