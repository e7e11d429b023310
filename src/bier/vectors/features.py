"""Features of pictures on disk, in several views each: made once, in any order, after any number of stops.

``values.bin`` has its whole size from the start, so a disk that is too small is known before any work is done. Which
positions are done stands in ``done-RANK.txt``: a line for each batch, with the CRC-32 of its values. A line that does
not agree with the values counts for nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bier.errors import StorageError
from bier.system.files import disk_is_full, storage_error, storage_errors, sync, sync_folder

Values = NDArray[np.float32]
Indices = NDArray[np.int64]

BATCH = 64
"""Positions that are done together."""


class ViewFeatures:
    """Float32 features (n, views, width) in a folder; position ``picture * views + view`` is a row of them.

    A picture that could not be read has NaN.

    Args:
        folder: where they lie; `prepare` has been called for it.
        shape: n, views, width.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        self.folder = folder
        self.pictures, self.views, self.width = shape
        self.batches = _batches(self.pictures * self.views)
        with storage_errors(folder):
            self._values: Values = np.memmap(_values(folder), "<f4", mode="r", shape=(len(self), self.width))

    def __len__(self) -> int:
        """Positions."""
        return self.pictures * self.views

    def rows(self, positions: Indices) -> Values:
        """The features at positions, (p, width)."""
        return np.array(self._values[positions])

    def missing(self) -> list[Indices]:
        """The batches of positions that are not done yet."""
        done = self._done()
        return [batch for number, batch in enumerate(self.batches) if number not in done]

    def write(self, batch: Indices, values: Values, rank: int) -> None:
        """Keep the features of one of the `batches`.

        Args:
            batch: its positions.
            values: (b, width).
            rank: of this process; no two may have the same.

        Raises:
            StorageError: the disk is full; what was written before stays.
        """
        content = np.ascontiguousarray(values, dtype="<f4").tobytes()
        with storage_errors(self.folder, "cannot be written"):
            with _values(self.folder).open("rb+") as file:
                file.seek(int(batch[0]) * self.width * 4)
                file.write(content)
            with _journal(self.folder, rank).open("a", encoding="ascii") as file:
                file.write(f"\n{batch[0] // BATCH} {zlib.crc32(content):08x}")  # after whatever a kill has left

    def _done(self) -> set[int]:
        done = set()
        for number, checksum in self._noted():
            if (
                number < len(self.batches)
                and f"{zlib.crc32(self._values[self.batches[number]].tobytes()):08x}" == checksum
            ):
                done.add(number)
        return done

    def _noted(self) -> Iterator[tuple[int, str]]:
        for path in sorted(self.folder.glob("done-*.txt")):
            for line in path.read_text(encoding="ascii", errors="replace").splitlines():
                number, _, checksum = line.partition(" ")
                if number.isdecimal():
                    yield int(number), checksum


def prepare(folder: Path, shape: tuple[int, int, int]) -> None:
    """Make room for features, unless they have it already: what is done stays.

    Args:
        folder: of these pictures in these views through this network, and of nothing else.
        shape: n, views, width.

    Raises:
        StorageError: there is not enough space on the disk; it says how much is needed.
    """
    needed = 4 * shape[0] * shape[1] * shape[2]
    if _size(_values(folder)) == needed:
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        if shutil.disk_usage(folder).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _allocate(_values(folder), needed)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise (_too_small(folder, shape) if disk_is_full(error) else storage_error(folder, error)) from error


def size_in_words(shape: tuple[int, int, int]) -> str:
    """What features take on the disk, such as "256 MB"."""
    megabytes = 4 * shape[0] * shape[1] * shape[2] / 1e6
    return f"{megabytes / 1e3:,.1f} GB" if megabytes >= 1000 else f"{max(1, round(megabytes))} MB"


def _too_small(folder: Path, shape: tuple[int, int, int]) -> StorageError:
    free = shutil.disk_usage(folder.parent).free / 1e6
    return StorageError(
        f"the disk is too full: features of {shape[0]:,} pictures in {shape[1]} views need {size_in_words(shape)}, "
        f"and it has {free:,.0f} MB left",
        where=folder,
        remedy="free some space, choose fewer data.views, or another disk with --out",
    )


def _allocate(path: Path, size: int) -> None:
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate") and size:
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)
    sync(path)


def _batches(positions: int) -> Sequence[Indices]:
    every = np.arange(positions, dtype=np.int64)
    return [every[start : start + BATCH] for start in range(0, positions, BATCH)]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _values(folder: Path) -> Path:
    return folder / "values.bin"


def _journal(folder: Path, rank: int) -> Path:
    return folder / f"done-{rank}.txt"
