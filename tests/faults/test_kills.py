"""kill -9 anywhere: what was acknowledged is there, and the same command goes on to the same result, bit for bit.

A kill comes at a chosen change of the disk (a file made, written, synced, renamed or removed; see disk.c), so that it
falls into the middle of saving, or after a chosen time.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import Made, ended_well
from faults.operations import INFO, Reference, operations, rows_of
from faults.warm import Ended, Warm, failing

from bier.records.history import read_history
from bier.records.metrics import Metrics
from bier.search import create_index, open_index

Tried = Callable[[str], None]
pytestmark = pytest.mark.timeout(900)


def killed(warm: Warm, chance: random.Random, words: list[object], steps: int, seconds: float) -> Ended:
    """A command that gets SIGKILL, at a step below its --out or, one time in four, at a moment."""
    out = words[words.index("--out") + 1] if "--out" in words else words[-1]
    if chance.random() < 0.75:
        return warm.command(*words, env=failing(Path(str(out)), chance.randint(1, steps), "kill"))
    child = warm.start_command(*words)
    time.sleep(chance.uniform(0, seconds))  # if it has ended by then, it was not killed
    child.kill()
    return child.wait()


def result_of(run: Path) -> Any:
    """What must not differ: the model, the history without its times, and the figures."""
    epochs = [replace(epoch, seconds=0.0, images_per_second=0.0) for epoch in read_history(run)]
    return (run / "model.safetensors").read_bytes(), epochs, Metrics.load(run / "metrics.json").rows


def gone_on(warm: Warm, made: Made, run: Path) -> Path:
    """Do what the messages say until the run is complete; gives its folder."""
    ended = warm.command("train", "--resume", run)
    if ended.code == 0:
        return run
    assert ended.refused, ended
    if "complete" in ended.err:  # the kill came after the training, while it was measured
        ended_well(warm.command("evaluate", run))
        return run
    another = run if not (run / "provenance.json").exists() else run.with_name(f"{run.name}-again")
    ended_well(warm.command(*made.train, "--out", another))
    return another


@pytest.mark.parametrize("count", [1, pytest.param(24, marks=pytest.mark.slow)])
def test_a_training_goes_on_bit_for_bit(
    warm: Warm, made: Made, tmp_path: Path, chance: random.Random, tried: Tried, count: int
) -> None:
    expected = result_of(made.run)
    kills = twice = 0
    for number in range(count):
        run = tmp_path / str(number)
        ended = killed(warm, chance, [*made.train, "--out", run], made.steps["run"], made.seconds["run"])
        kills += ended.code == -9
        if chance.random() < 0.3 and (run / "provenance.json").exists():
            words: list[object] = ["train", "--resume", run]
            twice += killed(warm, chance, words, made.steps["run"], made.seconds["run"]).code == -9
        assert result_of(gone_on(warm, made, run)) == expected, f"kill {number}"
    tried(f"train: {kills} kills and {twice} during --resume, {count} of {count} runs equal bit for bit")


@pytest.mark.parametrize("count", [pytest.param(15, marks=pytest.mark.slow)])
def test_embedding_goes_on_bit_for_bit(
    warm: Warm, made: Made, tmp_path: Path, chance: random.Random, tried: Tried, count: int
) -> None:
    expected = {path.name: path.read_bytes() for path in made.vectors.iterdir()}
    kills = 0
    for number in range(count):
        words = [*made.embed, "--out", tmp_path / str(number)]
        for _ in range(chance.randint(1, 2)):
            kills += killed(warm, chance, words, made.steps["vectors"], made.seconds["vectors"]).code == -9
        ended_well(warm.command(*words))
        # A room that was just being made stays for a minute: its writer may live.
        kept = [path for path in (tmp_path / str(number)).iterdir() if not path.name.startswith(".")]
        assert {path.name: path.read_bytes() for path in kept} == expected, f"kill {number}"
    tried(f"embed: {kills} kills, {count} of {count} folders equal bit for bit")


def contents(index: Path) -> Any:
    """Ids, vectors and metadata."""
    with open_index(index) as opened:
        records = [record for rows in opened.scan() for record in rows.records()]
        return sorted((record.id, record.vector.tobytes(), json.dumps(record.metadata)) for record in records)


@pytest.mark.parametrize("count", [pytest.param(12, marks=pytest.mark.slow)])
@pytest.mark.parametrize("engine", ["exact", "lancedb"])
def test_indexing_again_completes_it(
    warm: Warm, made: Made, tmp_path: Path, chance: random.Random, tried: Tried, engine: str, count: int
) -> None:
    expected = contents(made.folder / engine)
    kills = fresh = 0
    for number in range(count):
        index = tmp_path / str(number)
        words = [*made.index(engine), "--out", index]
        kills += killed(warm, chance, words, made.steps[engine], made.seconds[engine]).code == -9
        if (index / "index.json").exists():
            assert set(contents(index)) <= set(expected), f"kill {number}"
        ended = warm.command(*words)
        if ended.refused:  # before it was an index: the message asks for a new folder
            assert not (index / "index.json").exists() and "new folder" in ended.err, ended
            fresh += 1
            continue
        assert (ended.code, contents(index)) == (0, expected), f"kill {number}: {ended}"
    tried(f"index, {engine}: {kills} kills, {count - fresh} completed, {fresh} to begin again")


@pytest.mark.parametrize("count", [5, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("engine", ["exact", "lancedb"])
def test_what_an_index_acknowledged_is_there(
    warm: Warm, tmp_path: Path, chance: random.Random, tried: Tried, engine: str, count: int
) -> None:
    """Of the operation in which the kill came everything is there, or nothing; also of a rebuilding (flush)."""
    folder, seed = tmp_path / "index", str(chance.random())
    create_index(folder, INFO, engine).close()
    reference, sequence, done, kills = Reference(), operations(random.Random(seed)), 0, 0
    for number in range(count):
        at = chance.randint(1, 12 if engine == "exact" else 60)
        arguments = str(folder), seed, done, 100
        ended = warm.run("faults.operations:write", *arguments, env=failing(folder, at, "kill"))
        assert ended.code in (0, -9), ended
        kills += ended.code == -9
        for _ in range(ended.out.count("done\n")):
            reference.do(next(sequence))
            done += 1
        with open_index(folder) as index:
            found = rows_of(index)
            if found != reference.rows:
                reference.do(next(sequence))
                done += 1
            assert found == reference.rows, f"kill {number}, after {done} operations"
    tried(f"writer, {engine}: {kills} kills, {done} operations acknowledged, all there")
