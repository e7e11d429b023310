"""Runs on Weights & Biases, with the real library offline; its files are read back record by record."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import TINY, At, interrupt

import bier
from bier.errors import ConfigError

wandb = pytest.importorskip("wandb")
BLOCK = 32_768


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing is sent, the user's own login is out of sight, and the library's process ends with the test."""
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-login"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    yield
    wandb.teardown()


def chunks(file: Path) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, after its header of seven bytes."""
    content, place, parts = file.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place < len(content):
        if BLOCK - place % BLOCK < 7:  # no room for a header: the rest of a block is padding
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def records(run: bier.Run) -> list[dict[str, Any]]:
    """Of each session of a run, by kind; histories as a list."""
    from wandb.proto.wandb_internal_pb2 import Record

    sessions = []
    for file in sorted((run.folder / "wandb").glob("offline-run-*/*.wandb")):
        found: dict[str, Any] = {"history": []}
        for chunk in chunks(file):
            record = Record()
            record.ParseFromString(chunk)
            kind = record.WhichOneof("record_type")
            if kind == "history":
                items = record.history.item
                found["history"].append({i.key or i.nested_key[0]: json.loads(i.value_json) for i in items})
            else:
                found[str(kind)] = getattr(record, str(kind))
        sessions.append(found)
    return sessions


def curve(session: dict[str, Any], name: str) -> dict[int, float]:
    return {row["step"]: row[name] for row in session["history"] if name in row}


@pytest.mark.slow
def test_settings_and_curves_are_there(birds: Path, tmp_path: Path) -> None:
    run = bier.train(birds, TINY, tmp_path / "my-run", [bier.WeightsAndBiases(mode="offline", tags=["x"])], quiet=True)
    (session,) = records(run)
    about = session["run"]
    assert (about.display_name, about.project, list(about.tags)) == ("my-run", "bier", ["x"])
    settings = {item.key: json.loads(item.value_json) for item in about.config.update}
    assert settings["image.size"] == 32
    assert settings["loss.name"] == "binomial_deviance"
    assert list(curve(session, "train/loss")) == [1, 2, 3, 4]
    expected = {record.step: record.validation["recall@1"] for record in run.history}
    assert curve(session, "validation/recall@1") == pytest.approx(expected)
    assert session["metric"].step_metric == "step"
    assert session["exit"].exit_code == 0


@pytest.mark.slow
def test_a_run_that_goes_on_is_the_same_run(birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(bier.Interrupted):
        bier.train(birds, TINY, tmp_path / "run", [bier.WeightsAndBiases(), At(3, interrupt)], quiet=True)
    run = bier.open_run(tmp_path / "run").resume([bier.WeightsAndBiases()], quiet=True)
    assert run.metrics is not None
    first, second = records(run)
    assert first["run"].run_id == second["run"].run_id
    assert (first["exit"].exit_code, second["exit"].exit_code) == (1, 0)
    assert list(curve(first, "train/loss")) == [1, 2, 3]
    assert list(curve(second, "train/loss")) == [4]


def test_without_a_login_the_remedy_is_told(birds: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Weights & Biases: (.|\n)*wandb login; or set WANDB_MODE=offline"):
        bier.train(birds, TINY, tmp_path / "run", [bier.WeightsAndBiases()], quiet=True)
    assert bier.open_run(tmp_path / "run").resume([bier.WeightsAndBiases(mode="offline")], quiet=True).finished
