"""Bits that flip, files that are cut short, blocks of zeros, odd JSON: of every file that bier writes.

Sealed files hold what no person writes: each damage is noticed, or changes nothing. Open files are for people to read
and to change: what stands in them counts, but no content makes a traceback.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.conftest import SEED, Made, ended_well
from faults.warm import Warm, failing

BYTES = ["flip", "flip_early", "cut", "zero"]
WORDS = [*BYTES, "swap", "swap", "swap", "deep"]
SLOW = pytest.mark.slow
pytestmark = pytest.mark.timeout(900)
SEALED = [
    ("model", "model", "model.safetensors", 20),
    pytest.param("checkpoint", "interrupted", "checkpoint.safetensors", 20, marks=SLOW),
    ("vectors", "vectors", "part-00000.parquet", 60),
    ("vectors", "vectors", "vectors.json", 40),
    ("index", "exact", "rows.log", 60),
    ("index", "exact", "index.json", 40),
    ("index", "lancedb", "pictures.lance/data/*.lance", 40),
    ("checked", "lancedb", "pictures.lance/data/*.lance", 20),
    pytest.param("index", "lancedb", "pictures.lance/_versions/*.manifest", 40, marks=SLOW),
    pytest.param("index", "lancedb", "pictures.lance/_transactions/*.txn", 40, marks=SLOW),
    pytest.param("index", "lancedb", "durable.json", 40, marks=SLOW),
    pytest.param("index", "lancedb", "index.json", 40, marks=SLOW),
    pytest.param("model", "onnx", "model.onnx", 40, marks=SLOW),
    pytest.param("model", "torch", "model.pt2", 40, marks=SLOW),
    pytest.param("model", "hub", "model.safetensors", 40, marks=SLOW),
]
"""What answers, the folder, the file in it, and how many damages are tried."""
OPEN = [
    ("run", "run", "config.yaml"),
    ("run", "run", "provenance.json"),
    ("run", "run", "history.jsonl"),
    ("run", "run", "metrics.json"),
    ("run", "run", "baseline.json"),
    ("marks", "marks", "marks.jsonl"),
]


@pytest.fixture(scope="session")
def folders(warm: Warm, made: Made, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of each kind, made by the commands when it is first asked for."""
    root = tmp_path_factory.mktemp("damage")

    def make(name: str) -> Path:
        folder = root / name
        if name in ("run", "vectors", "exact", "lancedb"):
            return made.folder / name
        if folder.exists():
            return folder
        if name == "interrupted":
            warm.command(*made.train, "--out", folder, env=failing(folder, int(0.6 * made.steps["run"]), "kill"))
            return folder
        folder.mkdir()
        if name == "model":
            shutil.copy(made.run / "model.safetensors", folder)
        elif name == "marks":
            rows = [
                {"query": f"a {n}", "sha256": None, "result": "b", "verdict": "good", "time": "-"} for n in range(9)
            ]
            (folder / "marks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            out = {"onnx": folder / "model.onnx", "torch": folder / "model.pt2", "hub": folder}[name]
            to = "safetensors-hub" if name == "hub" else name
            ended_well(warm.command("export", made.run, "--to", to, "--out", out))
        return folder

    return make


Damage = Callable[[str, str, str, list[str], int], list[list[str]]]


@pytest.fixture
def damage(warm: Warm, folders: Callable[[str], Path], tried: Callable[[str], None]) -> Damage:
    """Damages a file so often, tells what came of it, and returns all that was neither equal nor noticed."""

    def do(kind: str, folder: str, pattern: str, damages: list[str], count: int) -> list[list[str]]:
        inside = folders(folder)
        file = max(inside.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
        name = str(file.relative_to(inside))
        ended = warm.run("faults.damage:trials", kind, inside, name, damages, f"{SEED} {name}", count)
        lines = [json.loads(line) for line in ended.out.splitlines()]
        assert ended.code == 0, f"after {len(lines)} damages to {name}: {ended.err}"
        found = Counter(line[0] for line in lines)
        told = ", ".join(f"{found[what]} {what}" for what in sorted(found))
        tried(f"damage to {folder}/{pattern} ({kind}): {told}")
        return [line for line in lines if line[0] not in ("equal", "noticed")]

    return do


@pytest.mark.parametrize(("kind", "folder", "file", "count"), SEALED)
def test_damage_to_what_is_sealed_is_noticed(damage: Damage, kind: str, folder: str, file: str, count: int) -> None:
    wrong = damage(kind, folder, file, WORDS if file.endswith(".json") else BYTES, count)
    assert wrong == [], f"{len(wrong)} of {count}"


@pytest.mark.parametrize("count", [8, pytest.param(60, marks=SLOW)])
@pytest.mark.parametrize(("kind", "folder", "file"), OPEN)
def test_no_content_of_an_open_file_makes_a_traceback(
    damage: Damage, kind: str, folder: str, file: str, count: int
) -> None:
    wrong = damage(kind, folder, file, BYTES if file.endswith(".yaml") else WORDS, count)
    assert [line for line in wrong if line[0] == "crashed"] == []
