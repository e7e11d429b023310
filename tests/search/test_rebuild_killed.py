"""kill -9 at any moment of a rebuild: the index is as it was or as it will be, and nothing is left lying."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from colours import Colours, expected, filled, painted, rows_of

from bier.search import open_index
from bier.search.generations import read_generations
from bier.search.rebuild import go_back, rebuild_index

# Counts what is done to the index's files, kills itself at the number that it is given, or tells how many there are.
REBUILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from colours import Colours
from bier.search.rebuild import go_back, rebuild_index
folder, last, back = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "back"
count = 0
def watch(event, arguments):
    global count
    if event in ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"):
        if str(arguments[0]).startswith(folder):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
go_back(folder).close() if back else rebuild_index(folder, Colours(4))
print(count)
"""


def run(folder: Path, last: int, way: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REBUILD, str(folder), str(last), way, str(Path(__file__).parents[1])]
    return subprocess.run(command, capture_output=True, text=True)


def third(folder: Path, photos: list[Path], engine: str) -> Path:
    """An index at its third generation, with the second one kept."""
    filled(folder, photos, engine)
    for number in (2, 3):
        rebuild_index(folder, Colours(number))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("way", "moments"), [("rebuild", 9), ("back", 4)])
@pytest.mark.parametrize("engine", ["lancedb", "exact"])
def test_kill_9_at_any_moment(tmp_path, engine, way, moments):
    photos = painted(tmp_path / "photos")
    whole = run(third(tmp_path / "whole", photos, engine), 0, way)
    assert whole.returncode == 0, whole.stderr
    count, results = int(whole.stdout), set()
    after = {"rebuild": "model-4", "back": "model-2"}[way]
    vectors = {f"model-{number}": expected(Colours(number), photos) for number in (2, 3, 4)}
    evenly = {round(1 + part * (count - 1) / moments) for part in range(moments)}
    for moment in sorted(evenly | {count - 2, count - 1, count}):
        folder = third(tmp_path / f"at {moment}", photos, engine)
        killed = run(folder, moment, way)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with open_index(folder) as index:
            found = index.info.model
            assert found in ("model-3", after)
            assert {name: row[1] for name, row in rows_of(index).items()} == vectors[found]
        results.add(found)
        for room in folder.glob(".*.new"):
            os.utime(room, (0, 0))  # which tells that nobody is just making it
        if way == "rebuild":
            rebuild_index(folder, Colours(4))
        elif found != after:
            go_back(folder).close()
        with open_index(folder) as index:
            assert index.info.model == after
            assert {name: row[1] for name, row in rows_of(index).items()} == vectors[after]
        kept = read_generations(folder)
        assert {path.name for path in folder.iterdir()} == {"index.json", "rebuild.lock", kept.current, kept.before}
    assert results == {"model-3", after}
