"""Nothing acknowledged is ever lost: kill -9 in the middle of adding, and files that a power failure cut short."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bier.errors import SearchError, StorageError
from bier.search import IndexInfo, create_index, open_index

INFO = IndexInfo("fingerprint-of-a-model", sizes=(16, 48), scales=(0.5, 0.8))
BATCH = 50

# Adds batches of rows whose parts all say the same number, replaces the row "turn" each time, and acknowledges.
WRITER = """
import sys
import numpy as np
from bier.search import open_index
index = open_index(sys.argv[1])
for batch in range(int(sys.argv[2]), 10_000):
    names = [f"{batch}-{row}" for row in range(50)] + ["turn"]
    index.add(names, np.full((51, 64), batch + 1.0), [{"label": str(batch + 1)}] * 51)
    if batch % 3 == 2:
        index.delete([f"{batch}-49"])
    print(batch, flush=True)
"""


def killed_writer(folder, start, seconds):
    """The number of batches that were acknowledged before the kill."""
    command = [sys.executable, "-c", WRITER, str(folder), str(start)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) + 1]
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [int(line) + 1 for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    return acknowledged[-1]


def check(index, acknowledged):
    """Every acknowledged row is there, whole; of the batch after them all rows or none."""
    rows = {record.id: record for rows in index.scan() for record in rows.records()}
    turn = rows.pop("turn")
    assert turn.vector[0] in (acknowledged, acknowledged + 1)
    numbers = {}
    for record in rows.values():
        batch = int(record.id.split("-")[0])
        assert (record.vector == batch + 1).all()
        assert record.metadata["label"] == str(batch + 1)
        numbers[batch] = numbers.get(batch, 0) + 1
    expected = {batch: BATCH - (batch % 3 == 2) for batch in range(acknowledged)}
    assert {batch: numbers[batch] for batch in expected} == expected
    assert set(numbers) - set(expected) <= {acknowledged}
    assert numbers.get(acknowledged, BATCH) in (BATCH, BATCH - 1)
    assert index.count() == len(rows) + 1
    assert len(index.search(np.ones(64), top=3)[0]) == 3


@pytest.mark.parametrize(
    "engine", ["exact", "lancedb", pytest.param("milvus", marks=[pytest.mark.slow, pytest.mark.milvus])]
)
def test_a_killed_writer_loses_nothing_and_leaves_no_half_row(request, tmp_path, engine):
    uri = request.getfixturevalue("milvus_server") if engine == "milvus" else None
    create_index(tmp_path / "index", INFO, engine, uri=uri).close()
    done = 0
    for seconds in (0.13, 0.37):
        done = killed_writer(tmp_path / "index", done, seconds)
        with open_index(tmp_path / "index") as index:
            check(index, done)


def filled(folder, engine):
    index = create_index(folder, INFO, engine)
    for batch in range(3):
        index.add([f"{batch}-{row}" for row in range(20)], np.full((20, 64), batch + 1.0), [{}] * 20)
    index.close()
    return folder


def newest(folder, pattern):
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("keep", [0, 0.5, 0.99])
@pytest.mark.parametrize("pattern", ["*.lance/_versions/*.manifest", "*.lance/data/*.lance"])
def test_a_version_that_power_loss_damaged_before_it_was_acknowledged_is_put_aside(tmp_path, pattern, keep):
    folder = filled(tmp_path / "index", "lancedb")
    durable = (folder / "durable.json").read_text()
    with open_index(folder) as index:
        index.add(["late"], np.ones((1, 64)), [{}])
    # As if the power had failed before the files were on the disk.
    (folder / "durable.json").write_text(durable)
    file = newest(folder, pattern)
    os.truncate(file, int(file.stat().st_size * keep))
    with open_index(folder) as index:
        assert (index.count(), index.get(["late"])) == (60, [None])
        index.add(["late"], np.ones((1, 64)), [{}])
    with open_index(folder) as index:
        assert index.count() == 61


def test_a_version_that_is_whole_is_kept_though_its_writer_was_killed_before_the_acknowledgement(tmp_path):
    folder = filled(tmp_path / "index", "lancedb")
    content = json.loads((folder / "durable.json").read_text())
    (folder / "durable.json").write_text(json.dumps({"version": content["version"] - 1}))
    with open_index(folder) as index:
        assert index.count() == 60


def found(folder):
    with open_index(folder) as index:
        return len(index.search(np.ones(64), top=60)[0])


@pytest.mark.parametrize("pattern", ["*.lance/_versions/*.manifest", "*.lance/data/*.lance", "durable.json"])
@pytest.mark.parametrize("keep", [None, 0, 0.5])
def test_damage_to_what_was_acknowledged_is_one_clear_error(tmp_path, pattern, keep):
    folder = filled(tmp_path / "index", "lancedb")
    file = newest(folder, pattern)
    if keep is None:
        file.unlink()
    else:
        os.truncate(file, int(file.stat().st_size * keep))
    if file.name == "durable.json" and keep is None:
        assert found(folder) == 60  # nothing that matters
        return
    with pytest.raises(SearchError, match="backup") as raised:
        found(folder)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("cut", [1, 20, 3000])
def test_the_exact_engine_drops_a_block_that_was_cut_short_and_goes_on(tmp_path, cut):
    folder = filled(tmp_path / "index", "exact")
    os.truncate(folder / "rows.log", (folder / "rows.log").stat().st_size - cut)
    with open_index(folder) as index:
        assert index.count() == 40
        index.add(["more"], np.ones((1, 64)), [{}])
    with open_index(folder) as index:
        assert (index.count(), index.get(["2-0"])) == (41, [None])


@pytest.mark.parametrize("place", [2, 14, 300])
def test_the_exact_engine_tells_damage_from_a_block_that_was_cut_short(tmp_path, place):
    folder = filled(tmp_path / "index", "exact")
    content = bytearray((folder / "rows.log").read_bytes())
    content[place] ^= 0x40
    (folder / "rows.log").write_bytes(content)
    with pytest.raises(SearchError, match="damaged at byte 0"):
        open_index(folder)


@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit")
@pytest.mark.parametrize("engine", ["exact", "lancedb"])
def test_a_full_disk_loses_nothing(tmp_path, engine):
    # A limit on the size of files fails as a full disk does, in the middle of writing.
    folder = filled(tmp_path / "index", engine)
    code = (
        "import signal, sys, numpy as np; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from bier.search import open_index\nfrom bier.errors import BierError\n"
        "index = open_index(sys.argv[1])\n"
        "try: index.add([str(row) for row in range(9000)], np.ones((9000, 64)), [{}] * 9000)\n"
        "except BierError as error: print(type(error).__name__, index.count())"
    )
    command = ["prlimit", "--fsize=200000", sys.executable, "-c", code, str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() in ("StorageError 60", "SearchError 60")
    with open_index(folder) as index:
        assert index.count() == 60
        index.add(["more"], np.ones((1, 64)), [{}])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((StorageError, SearchError), match="file"):
        create_index(tmp_path / "file" / "index", INFO, "exact")
