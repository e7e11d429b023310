"""Damaged pictures are read or refused, one by one; small files that claim to be huge cost little."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.conftest import SEED, Made, ended_well
from faults.warm import Warm

MOST_MEMORY, MOST_SECONDS = 500e6, 5.0
"""For a picture of a few kilobytes."""
HONEST = {"zeros.png", "square.avif"}
"""All the pixels are there, 99 million; a picture may be read then, and cost what they cost.

Those of the AVIF are there since libavif scales what is coded to the size that the header claims. `bier.data.limits`
counts them before they are decoded.
"""
HONEST_MEMORY = 1.5e9


@pytest.mark.parametrize("count", [140, pytest.param(4200, marks=pytest.mark.slow)])
def test_damaged_pictures_are_read_or_refused(warm: Warm, made: Made, tried: Callable[[str], None], count: int) -> None:
    ended = ended_well(warm.run("faults.pictures:read_mutants", str(made.picture), SEED, count))
    found, wrong, formats = json.loads(ended.out)
    tried(f"mutants: {count} in {len(formats)} formats, {found['read']} read, {found['refused']} refused")
    assert wrong == []
    assert ended.err == "", "decoders talk past the messages"


@pytest.mark.parametrize("only", [["tall.png", "tall.ico", "wide.jpg"], pytest.param([], marks=pytest.mark.slow)])
def test_small_files_that_claim_to_be_huge_cost_little(
    warm: Warm, made: Made, tried: Callable[[str], None], only: list[str]
) -> None:
    ended = ended_well(warm.run("faults.pictures:read_bombs", str(made.picture), only))
    lines = [json.loads(line) for line in ended.out.splitlines()]
    for name, size, what, peak, seconds in lines:
        tried(f"bomb {name}, {size:,} bytes: {what[:60]}, {peak / 1e6:,.0f} MB, {seconds:.1f} s")
    assert len(lines) >= 15 or only
    for name, _, what, peak, seconds in lines:
        assert what.startswith(("refused", "read")), f"{name}: {what}"
        assert peak < (HONEST_MEMORY if name in HONEST else MOST_MEMORY), f"{name}: {peak / 1e6:,.0f} MB"
        assert seconds < MOST_SECONDS or name in HONEST, f"{name}: {seconds:.1f} s"


def test_a_picture_with_gigabytes_behind_it_is_not_read_whole(
    warm: Warm, made: Made, tmp_path: Path, tried: Callable[[str], None]
) -> None:
    file = tmp_path / "long.jpg"
    file.write_bytes(made.picture.read_bytes())
    with file.open("rb+") as opened:
        opened.truncate(3 * 2**30)
    ended = ended_well(warm.run("faults.test_pictures:read_file", str(file)))
    tried(f"a JPEG with 3 GB of zeros behind it: {ended.peak / 1e6:,.0f} MB, {ended.seconds:.1f} s")
    assert ended.peak < MOST_MEMORY


def read_file(file: str) -> None:
    """In a child."""
    from bier.data import read_image

    read_image(Path(file))
