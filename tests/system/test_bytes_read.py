"""What a process has read is counted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bier.system.bytes_read import bytes_read


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts it")
def test_reading_counts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(1_000_000))
    before = bytes_read()
    assert before is not None
    file.read_bytes()
    now = bytes_read()
    assert now is not None
    assert 1_000_000 <= now - before < 1_100_000
