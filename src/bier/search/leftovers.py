"""What the generations of an index take on the disk, and what no longer belongs to any that is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bier.search import approximate, calibration_file, map_file, measured, seen_files, shortlist
from bier.search.folder import ENGINES
from bier.search.generations import FIRST, Generations
from bier.search.writers import index_errors
from bier.system import files

MARKS = ".embedded"
"""What follows a generation's name, in the name of the list of its rows that a rebuild has embedded."""


def size(root: Path, generations: Generations, name: str) -> int:
    """Bytes that a generation takes."""
    return sum(map(_size, _parts(root, generations, name)))


def tidy(root: Path, generations: Generations) -> None:
    """Remove every generation but the one that counts, the one before it and the next, which may be unfinished.

    Raises:
        StorageError: the folder cannot be written.
    """
    kept = {generations.current, generations.before, generations.next}
    with index_errors(root):
        if FIRST not in kept:
            for part in _parts(root, generations, FIRST):
                _remove(part)
        for part in root.glob("generation-*"):
            if part.name not in kept and part.name != generations.next + MARKS:
                _remove(part)
    files.tidy(root)


def give_up(root: Path, name: str) -> None:
    """Remove a generation that was never finished."""
    with index_errors(root):
        for part in (root / name / "index.json", root / name, root / f"{name}{MARKS}"):
            _remove(part)  # first the file that says that there is an index


def _parts(root: Path, generations: Generations, name: str) -> Iterator[Path]:
    if name != FIRST:
        return iter([root / name])
    own = ENGINES[str(generations.first.get("engine", "lancedb"))].files
    beside = (
        measured.FILE,
        approximate.LOCK,
        calibration_file.FILE,
        map_file.FILE,
        seen_files.FILE,
        shortlist.FILE,
        "lock",
    )
    found = (root / part for part in (*own, *beside))
    return (part for part in found if part.exists())


def _size(part: Path) -> int:
    within = part.rglob("*") if part.is_dir() else [part]
    return sum(path.stat().st_size for path in within if path.is_file())


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
        return
    with suppress(FileNotFoundError):
        part.unlink()
