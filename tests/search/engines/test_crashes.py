"""Nothing acknowledged is ever lost: kill -9 in the middle of adding, and files that a power failure cut short."""

from __future__ import annotations

import functools
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ensembles import numbered

from bier.errors import SearchError, StorageError
from bier.search import IndexInfo, create_index, open_index
from bier.search.engines.exact import ExactIndex

INFO = IndexInfo("fingerprint-of-a-model", sizes=(16, 48), scales=(0.5, 0.8))
BATCH = 50

# Adds batches of rows whose vectors and labels say the same number, replaces the row "turn", and acknowledges.
WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from ensembles import numbered
from bier.search import open_index
index = open_index(sys.argv[1])
for batch in range(int(sys.argv[2]), 10_000):
    names = [f"{batch}-{row}" for row in range(50)] + ["turn"]
    index.add(names, numbered(batch + 1, 51, index.info), [{"label": str(batch + 1)}] * 51)
    if batch % 3 == 2:
        index.delete([f"{batch}-49"])
    print(batch, flush=True)
"""


def killed_writer(folder, start, seconds):
    """The number of batches that were acknowledged before the kill."""
    command = [sys.executable, "-c", WRITER, str(folder), str(start), str(Path(__file__).parents[2])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) + 1]
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [int(line) + 1 for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    return acknowledged[-1]


@functools.cache
def of_number(number):
    return numbered(number, 1, INFO)[0]


def check(index, acknowledged):
    """Every acknowledged row is there, whole; of the batch after them all rows or none."""
    rows = {record.id: record for rows in index.scan() for record in rows.records()}
    turn = rows.pop("turn")
    assert turn.metadata["label"] in (str(acknowledged), str(acknowledged + 1))
    assert np.array_equal(turn.vector, of_number(int(turn.metadata["label"])))
    numbers = {}
    for record in rows.values():
        batch = int(record.id.split("-")[0])
        assert np.array_equal(record.vector, of_number(batch + 1))
        assert record.metadata["label"] == str(batch + 1)
        numbers[batch] = numbers.get(batch, 0) + 1
    expected = {batch: BATCH - (batch % 3 == 2) for batch in range(acknowledged)}
    assert {batch: numbers[batch] for batch in expected} == expected
    assert set(numbers) - set(expected) <= {acknowledged}
    assert numbers.get(acknowledged, BATCH) in (BATCH, BATCH - 1)
    assert index.count() == len(rows) + 1
    assert len(index.search(np.ones(64), top=3)[0]) == 3


@pytest.mark.parametrize(
    "engine",
    [
        "exact",
        pytest.param("lancedb", marks=pytest.mark.slow),
        pytest.param("milvus", marks=[pytest.mark.slow, pytest.mark.milvus]),
    ],
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
        index.add([f"{batch}-{row}" for row in range(20)], numbered(batch + 1, 20, INFO), [{}] * 20)
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
        index.add(["late"], numbered(9, 1, INFO), [{}])
    # As if the power had failed before the files were on the disk.
    (folder / "durable.json").write_text(durable)
    file = newest(folder, pattern)
    os.truncate(file, int(file.stat().st_size * keep))
    with open_index(folder) as index:
        assert (index.count(), index.get(["late"])) == (60, [None])
        index.add(["late"], numbered(9, 1, INFO), [{}])
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


def unacknowledged(folder):
    """The log, with one more block that was acknowledged to nobody, and its length before that."""
    log, durable = folder / "rows.log", folder / "durable.json"
    acknowledged, knows = log.stat().st_size, durable.read_text()
    with open_index(folder) as index:
        index.add(["late"], numbered(9, 1, INFO), [{}])
    durable.write_text(knows)
    return log, acknowledged


@pytest.mark.parametrize("keep", [1, 12, 16, 100, -1])
def test_the_exact_engine_drops_a_block_that_was_cut_short_and_goes_on(tmp_path, keep):
    folder = filled(tmp_path / "index", "exact")
    log, acknowledged = unacknowledged(folder)
    os.truncate(log, acknowledged + keep if keep > 0 else log.stat().st_size + keep)
    with open_index(folder) as index:
        assert (index.count(), index.get(["late"])) == (60, [None])
        index.add(["more"], numbered(9, 1, INFO), [{}])
    with open_index(folder) as index:
        assert (index.count(), index.get(["late"])) == (61, [None])


@pytest.mark.parametrize("place", [2, 14, 300])
def test_the_exact_engine_drops_a_block_that_was_never_acknowledged_and_is_damaged(tmp_path, place):
    folder = filled(tmp_path / "index", "exact")
    log, acknowledged = unacknowledged(folder)
    flip(log, acknowledged + place)
    with open_index(folder) as index:
        assert (index.count(), index.get(["late"])) == (60, [None])


def test_a_whole_block_whose_writer_was_killed_before_the_acknowledgement_is_kept(tmp_path):
    folder = filled(tmp_path / "index", "exact")
    unacknowledged(folder)
    with open_index(folder) as index:
        assert index.count() == 61


@pytest.mark.parametrize("keep", [0, 1, 0.3, 0.7, -3000, -1])
def test_a_log_that_lost_what_was_acknowledged_is_named_with_the_byte(tmp_path, keep):
    folder = filled(tmp_path / "index", "exact")
    with open_index(folder) as index:
        index.delete(["2-3"])  # which a cut must not undo
    log = folder / "rows.log"
    size = log.stat().st_size
    left = int(size * keep) if 0 < keep < 1 else size + keep if keep < 0 else keep
    os.truncate(log, left)
    with pytest.raises(SearchError, match=f"rows.log: is damaged: it ends at byte {left:,}, and {size:,} bytes were"):
        open_index(folder)


def test_a_log_that_shrinks_while_it_is_open_is_noticed(tmp_path):
    folder = filled(tmp_path / "index", "exact")
    with open_index(folder) as index:
        os.truncate(folder / "rows.log", 0)
        with pytest.raises(SearchError, match="ends at byte 0"):
            index.count()


def test_another_log_under_the_same_name_is_noticed(tmp_path):
    folder = filled(tmp_path / "index", "exact")
    with create_index(tmp_path / "other", INFO, "exact") as other:
        other.add([str(row) for row in range(100)], numbered(1, 100, INFO), [{}] * 100)
    shutil.copy(tmp_path / "other" / "rows.log", folder / "rows.log")
    with pytest.raises(SearchError, match=r"not the log that durable\.json tells of"):
        open_index(folder)


def test_a_log_of_an_earlier_version_has_no_checksum_and_is_opened(tmp_path):
    folder = filled(tmp_path / "index", "exact")
    (folder / "durable.json").unlink()
    with open_index(folder) as index:
        assert index.count() == 60
        assert not (folder / "durable.json").exists()  # reading writes nothing
        index.delete(["0-0"])
    os.truncate(folder / "rows.log", 0)
    with pytest.raises(SearchError, match="ends at byte 0"):
        open_index(folder)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("place", [2, 14, 300])
def test_the_exact_engine_tells_damage_from_a_block_that_was_cut_short(tmp_path, place, known):
    folder = filled(tmp_path / "index", "exact")
    if not known:
        (folder / "durable.json").unlink()
    flip(folder / "rows.log", place)
    with pytest.raises(SearchError, match="damaged: at byte 0"):
        open_index(folder)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_power_failure_while_the_log_is_written_anew_leaves_one_of_the_two(tmp_path, moment, monkeypatch):
    folder = filled(tmp_path / "index", "exact")
    with open_index(folder) as index:
        for _ in range(2):
            index.add([f"0-{row}" for row in range(20)], numbered(1, 20, INFO), [{}] * 20)
        index.delete([f"{batch}-{row}" for batch in (1, 2) for row in range(20)])
        before = (folder / "rows.log").read_bytes()
        monkeypatch.setattr(ExactIndex, "_catch_up", stop_when_both_are_acknowledged(ExactIndex._catch_up))
        with pytest.raises(RuntimeError, match="as if"):
            index.flush()
        monkeypatch.undo()
    assert len(json.loads((folder / "durable.json").read_text())["logs"]) == 2
    if moment == "before":
        (folder / "rows.log").write_bytes(before)
    with open_index(folder) as index:
        assert index.count() == 20
        index.add(["more"], numbered(9, 1, INFO), [{}])
    with open_index(folder) as index:
        assert index.count() == 21


def stop_when_both_are_acknowledged(catch_up):
    def stop(index):
        if len(json.loads((index.folder / "durable.json").read_text())["logs"]) == 2:
            raise RuntimeError("as if the power had failed")
        catch_up(index)

    return stop


def test_a_scan_beside_another_process_that_writes_the_log_anew_gives_every_row(tmp_path):
    folder = filled(tmp_path / "index", "exact")
    with open_index(folder) as index, open_index(folder) as other:
        scan = index.scan(batch=7)
        found = next(scan).ids
        for _ in range(3):
            other.add([f"0-{row}" for row in range(20)], numbered(5, 20, INFO), [{}] * 20)
        other.delete([f"1-{row}" for row in range(20)])
        other.flush()
        index.count()  # which reads the new log
        found += [name for rows in scan for name in rows.ids]
    assert sorted(found) == sorted(f"{batch}-{row}" for batch in (0, 2) for row in range(20))


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 0x40
    file.write_bytes(content)


@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit")
@pytest.mark.parametrize("engine", ["exact", pytest.param("lancedb", marks=pytest.mark.slow)])
def test_a_full_disk_loses_nothing(tmp_path, engine):
    # A limit on the size of files fails as a full disk does, in the middle of writing.
    folder = filled(tmp_path / "index", engine)
    code = (
        "import signal, sys; sys.path.insert(0, sys.argv[2]); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from ensembles import numbered\nfrom bier.search import open_index\nfrom bier.errors import BierError\n"
        "index = open_index(sys.argv[1])\n"
        "try: index.add([str(row) for row in range(9000)], numbered(9, 9000, index.info), [{}] * 9000)\n"
        "except BierError as error: print(type(error).__name__, index.count())"
    )
    command = ["prlimit", "--fsize=200000", sys.executable, "-c", code, str(folder), str(Path(__file__).parents[2])]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() in ("StorageError 60", "SearchError 60")
    with open_index(folder) as index:
        assert index.count() == 60
        index.add(["more"], numbered(9, 1, INFO), [{}])


def test_a_system_without_locks_reads_an_index_and_does_not_write_it(tmp_path, monkeypatch):
    folder = filled(tmp_path / "index", "exact")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    runpy.run_path(sys.modules[ExactIndex.__module__].__file__)  # it can be imported
    with open_index(folder) as index:
        assert index.count() == 60
        with pytest.raises(SearchError, match="cannot lock files"):
            index.delete(["0-0"])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((StorageError, SearchError), match="file"):
        create_index(tmp_path / "file" / "index", INFO, "exact")
