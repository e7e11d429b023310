"""kill -9 at any moment of a rebuild: the index is as it was or as it will be, and nothing is left lying."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest
from colours import Colours, expected, filled, painted, rows_of

from bier.search import open_index
from bier.search.generations import read_generations
from bier.search.rebuild import go_back, rebuild_index

# For each line of input, a process of its own. It counts what it does to files, and kills itself at the number that it
# is given, or tells how many there were. To fork it saves the seconds of imports.
REBUILDS = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from colours import Colours
from bier.search.rebuild import go_back, rebuild_index

def watched(folder, last):
    count = 0
    def watch(event, arguments):
        nonlocal count
        if event in ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"):
            # What is removed with a whole folder has a name within that.
            if str(arguments[0]).startswith(folder) or event in ("os.remove", "os.rmdir"):
                count += 1
                if count == last:
                    os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    return lambda: count

for line in sys.stdin:
    folder, last, way = line.rstrip().split("|")
    child = os.fork()
    if child == 0:
        counted = watched(folder, int(last))
        go_back(folder).close() if way == "back" else rebuild_index(folder, Colours(4))
        print("count", counted(), flush=True)
        os._exit(0)
    print("status", os.waitpid(child, 0)[1], flush=True)
"""


@contextmanager
def rebuilds() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", REBUILDS, str(Path(__file__).parents[1])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def run(process: subprocess.Popen[str], folder: Path, last: int, way: str) -> tuple[int, int]:
    """What was counted, 0 if it was killed; and the status with which it ended."""
    print(f"{folder}|{last}|{way}", file=process.stdin, flush=True)
    count = 0
    while (line := process.stdout.readline().split())[0] == "count":
        count = int(line[1])
    return count, int(line[1])


def check(folder: Path, models: tuple[str, ...], photos: list[Path]) -> str:
    """The index is whole, and of one of the models; gives which."""
    with open_index(folder) as index:
        model, rows = index.info.model, rows_of(index)
    assert model in models
    assert {name: row[1] for name, row in rows.items()} == expected(Colours(int(model[-1])), photos)
    return model


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["rebuild", "back"])
@pytest.mark.parametrize(("engine", "moments"), [("lancedb", 6), ("exact", 24)])
def test_kill_9_at_any_moment(tmp_path, engine, way, moments):
    photos, third = painted(tmp_path / "photos"), tmp_path / "third"
    filled(third, photos, engine)
    for number in (2, 3):
        rebuild_index(third, Colours(number))
    after, results = {"rebuild": "model-4", "back": "model-2"}[way], set()
    with rebuilds() as process:
        count, status = run(process, copytree(third, tmp_path / "whole"), 0, way)
        assert (count > 5, status) == (True, 0)
        for moment in sorted({round(1 + part * (count - 2) / moments) for part in range(moments + 1)}):
            folder = copytree(third, tmp_path / f"at {moment}")
            assert run(process, folder, moment, way) == (0, signal.SIGKILL)
            found = check(folder, ("model-3", after), photos)
            results.add(found)
            for room in folder.glob(".*.new"):
                os.utime(room, (0, 0))  # which tells that nobody is just making it
            if way == "rebuild":
                rebuild_index(folder, Colours(4))
            else:
                for _ in range(1 if found == "model-3" else 2):
                    go_back(folder).close()
            check(folder, (after,), photos)
            kept = read_generations(folder)
            names = {path.name for path in folder.iterdir()}
            assert names == {"index.json", "rebuild.lock", kept.current, kept.before}
    assert results == {"model-3", after}
