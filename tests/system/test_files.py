"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from bier.errors import StorageError
from bier.system.files import WhileUnchanged, is_free, tidy, write_atomically, write_json, write_text
from bier.system.tensors import MODEL_FILE, MODEL_FORMAT, save_tensors


def test_a_full_disk_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("good")

    def fill(file: Path) -> None:
        file.write_bytes(b"half of")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="disk is full") as caught:
        write_atomically(path, fill)
    assert "--resume" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["state"], "nothing half-written is left behind"
    assert path.read_text() == "good"


def test_a_really_full_disk(tmp_path: Path) -> None:
    """The same through the file system: /dev/full takes no byte."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")

    def write(file: Path) -> None:
        with open("/dev/full", "w") as full:
            full.write(json.dumps(list(range(10_000))))

    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(tmp_path / "metrics.json", write)


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"):
        write_json(tmp_path / "runs" / "first" / "metrics.json", {})


def test_a_fault_of_our_own_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "metrics.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_two_threads_write_one_file(tmp_path: Path) -> None:
    """Each in a place of its own: neither takes the other's half for the whole."""
    both = threading.Barrier(2)

    def write(text: str) -> None:
        def fill(file: Path) -> None:
            both.wait(10)
            file.write_text(text)
            both.wait(10)
            assert file.read_text() == text

        write_atomically(tmp_path / "state", fill)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, ["one", "two"]))
    assert (tmp_path / "state").read_text() in ("one", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_two_machines_with_one_process_number_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two containers on one volume are both process 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    places = []
    for _ in range(2):
        write_atomically(tmp_path / "state", lambda file: places.append(file) or file.touch())
    assert len({place.parent.name for place in places}) == 2


def test_the_folder_is_on_the_disk_when_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that the disk has not heard of is undone when the power fails."""
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def listen(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), (tmp_path / "state").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", listen)
    write_text(tmp_path / "state", "good")
    assert [there for _, there in synced] == [False, True]
    assert synced[1][0] == str(tmp_path)


def test_files_have_the_mode_of_any_other(tmp_path: Path) -> None:
    """Also those that a library makes for itself alone: other users' services read models."""
    before = os.umask(0o022)
    try:
        save_tensors(tmp_path / MODEL_FILE, {"w": torch.zeros(2)}, MODEL_FORMAT, {})
        os.umask(0o077)
        save_tensors(tmp_path / "private", {"w": torch.zeros(2)}, MODEL_FORMAT, {})
    finally:
        os.umask(before)
    assert (tmp_path / MODEL_FILE).stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".csv")
    write_text(path, "a")
    assert path.read_text() == "a"


WRITER = """
import sys, time
from pathlib import Path
import torch
from bier.system import tensors
from bier.system.files import write_atomically

def write(file):
    tensors.save_file({"a": torch.zeros(1000)}, file)
    (file.parent / ".tmpOfALibrary").write_bytes(bytes(1000))
    print("half", flush=True)
    time.sleep(100)

write_atomically(Path(sys.argv[1]), write)
"""


def test_a_folder_with_what_a_killed_writer_left_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert is_free(folder)
    folder.mkdir()
    assert is_free(folder)
    (folder / ".vectors.json.0123456789abcdef.tmp").mkdir()
    assert is_free(folder)
    (folder / ".hidden").touch()
    assert not is_free(folder)
    assert not is_free(folder / ".hidden")


@pytest.mark.slow
def test_what_a_killed_writer_left_is_tidied_and_what_one_writes_stays(tmp_path: Path) -> None:
    writers = []
    for name in ("one", "two"):
        command = [sys.executable, "-c", WRITER, str(tmp_path / name)]
        writers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert writers[-1].stdout is not None
        assert writers[-1].stdout.readline() == "half\n"
    (tmp_path / ".of.another.tmp").mkdir()
    writers[0].kill()
    writers[0].wait()
    tidy(tmp_path)
    there = sorted(path.name for path in tmp_path.iterdir())
    assert [name[:5] for name in there] == [".of.a", ".two."]
    writers[1].kill()
    writers[1].wait()
    tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".of.another.tmp"]
    for writer in writers:
        writer.stdout.close()  # type: ignore[union-attr]


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    file, reads = tmp_path / "file", []

    def read() -> str | None:
        reads.append(1)
        return file.read_text() if file.exists() else None

    content = WhileUnchanged(file, read)
    assert [content(), content()] == [None, None]
    file.write_text("one")
    assert [content(), content()] == ["one", "one"]
    file.write_text("other")
    assert content() == "other"
    file.unlink()
    assert content() is None
    assert len(reads) == 4
