"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from bier.errors import StorageError
from bier.system.files import write_atomically, write_json


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
