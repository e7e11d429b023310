"""Copies of pictures, resized once, that are read in their place: a folder that trainings share.

A copy holds plain pixels: to decode even a small JPEG would take longer than all else. Its name says which picture it
is of, and in which state that was. So a picture that was changed has no copy until it gets a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bier.data.images import TrainTransform, read_picture, resize
from bier.data.manifest import Manifest
from bier.data.plain_copy import UNFINISHED, write_copy
from bier.data.references import file_of
from bier.data.workers import from_workers
from bier.errors import DataError, ImageError, StorageError
from bier.system.files import disk_is_full, is_free, state_of, storage_error, write_json

ROOM = 1.5
"""How many times the side of a view the smallest crop of training has in a copy, where the picture has as much."""

INFO = "prepared.json"
FORMAT = "bier-prepared-1"
_BATCH = 16
"""Pictures that one process prepares at once."""
_LEFTOVER = 3600.0
"""Seconds after which a file that was not finished belongs to nobody."""


@dataclass(frozen=True)
class CopyView:
    """What a copy must suffice for, as a `bier.data.reduction.View`."""

    train: TrainTransform

    def shrinks(self, height: int, width: int) -> float:
        """By what factor a copy is smaller than such a picture."""
        return max(1.0, min(view.shrinks(height, width) for view in (self.train, self.train.centre)) / ROOM)

    def __call__(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W), smaller or as it is."""
        height, width = image.shape[-2:]
        factor = self.shrinks(height, width)
        if factor == 1:
            return image
        # The sharper filter: the view will be resized once more.
        return resize(image, max(1, round(height / factor)), max(1, round(width / factor)), "bicubic")

    @property
    def name(self) -> str:
        """Of the folder with all copies of this kind."""
        return f"{self.train.size}-{self.train.fit}-{self.train.crop_scale:g}"


class Copies(NamedTuple):
    """What a folder has of the pictures of a manifest."""

    paths: NDArray[np.object_]
    """(n,) where the copy of each is, or would be; empty where a change of the picture could not be seen."""
    missing: NDArray[np.int64]
    """Rows that have none yet."""
    outdated: dict[int, list[str]]
    """By such rows: copies of what a picture was before it changed."""


def open_folder(folder: Path) -> None:
    """Make the folder, or see that it is one of copies; remove what a kill has left in it.

    Raises:
        DataError: it holds something else.
        StorageError: it cannot be written.
    """
    info = folder / INFO
    try:
        if not info.is_file():
            if not is_free(folder):
                raise _no_folder_of_copies(folder)
            write_json(info, {"format": FORMAT})
        elif json.loads(info.read_text(encoding="utf-8")) != {"format": FORMAT}:
            raise _no_folder_of_copies(folder)
    except ValueError as error:
        raise _no_folder_of_copies(folder) from error
    except OSError as error:
        raise storage_error(folder, error) from error
    for path in folder.glob(f"*/*/*{UNFINISHED}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _LEFTOVER:
                path.unlink()


def _no_folder_of_copies(folder: Path) -> DataError:
    return DataError("holds something else than prepared copies", where=folder, remedy="name a new folder")


def find(manifest: Manifest, folder: Path, view: CopyView) -> Copies:
    """Which pictures have a copy; pictures themselves are not opened."""
    place = folder / view.name
    there = _listed(place)
    state = cache(state_of)
    paths = np.full(len(manifest), "", dtype=object)
    missing, outdated = list[int](), dict[int, list[str]]()
    for row in range(len(manifest)):
        reference = manifest.reference(row)
        of_file = state(file_of(reference))
        if of_file is None:
            continue
        picture = _digest(reference, b"" if manifest.bbox is None else manifest.bbox[row].tobytes())
        name = f"{picture}-{_digest(str(of_file))[:12]}"
        paths[row] = str(place / picture[:2] / name)
        others = there.get(picture, [])
        if name not in others:
            missing.append(row)
            if others:
                outdated[row] = [str(place / picture[:2] / other) for other in others]
    return Copies(paths, np.array(missing, dtype=np.int64), outdated)


def with_copies(manifest: Manifest, copies: Copies) -> Manifest:
    """The manifest, whose pictures are read from the copies that are there."""
    there = copies.paths.copy()
    there[copies.missing] = ""
    return replace(manifest, copies=there)


def make(
    manifest: Manifest,
    copies: Copies,
    rows: NDArray[np.int64],
    view: CopyView,
    workers: int,
    progress: Callable[[int], object] = lambda done: None,
) -> None:
    """Make copies of pictures; one that cannot be read gets none.

    Args:
        manifest: the pictures.
        copies: of `find`.
        rows: of pictures without a copy.
        view: what copies must suffice for.
        workers: processes that share the work; 0: this one does it.
        progress: called with the number of pictures done.

    Raises:
        StorageError: the disk is full; what was made stays.
    """
    for folder in {Path(copies.paths[row]).parent for row in rows.tolist()}:
        with _refusals(folder, len(manifest)):
            folder.mkdir(parents=True, exist_ok=True)
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    maker = _Maker(manifest, copies, view)
    try:
        for done in from_workers(maker, batches, min(workers, len(batches))):
            progress(done)
    finally:
        _remove_unfinished(copies, rows, maker.mark)


def _remove_unfinished(copies: Copies, rows: NDArray[np.int64], mark: str) -> None:
    """What processes that were ended in the midst of their work have left."""
    for folder in {Path(copies.paths[row]).parent for row in rows.tolist()}:
        for file in folder.glob(f"*.{mark}{UNFINISHED}"):
            file.unlink(missing_ok=True)


class _Maker(Dataset[int]):
    """``maker[rows]`` makes the copies of these pictures, and says how many rows that were."""

    def __init__(self, manifest: Manifest, copies: Copies, view: CopyView) -> None:
        self.manifest, self.copies, self.view = manifest, copies, view

        self.mark = token_hex(4)
        """Of its files that are being written."""

    def __getitem__(self, rows: NDArray[np.int64]) -> int:
        for row in rows.tolist():
            path = Path(self.copies.paths[row])
            with _refusals(path.parents[2], len(self.manifest)):
                with suppress(ImageError):  # whoever reads it will tell
                    write_copy(path, self._copy(row), self.mark)
                for old in self.copies.outdated.get(row, []):
                    Path(old).unlink(missing_ok=True)
        return len(rows)

    def _copy(self, row: int) -> Tensor:
        box = None if self.manifest.bbox is None else self.manifest.bbox[row]
        return self.view(read_picture(self.manifest.reference(row), box, view=self.view))


@contextmanager
def _refusals(folder: Path, total: int) -> Iterator[None]:
    """What the system refuses while so many copies are made, as a `StorageError`."""
    try:
        yield
    except OSError as error:
        if not disk_is_full(error):
            raise storage_error(folder, error) from error
        raise StorageError(
            f"the disk is full, and not all of {total:,} pictures have their copy",
            where=folder,
            remedy="free some space and repeat the command: copies that are there stay. Or leave out --prepared",
        ) from error


def _listed(place: Path) -> dict[str, list[str]]:
    """Names of copies by the picture that they are of."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in _names(place):
        found[name.partition("-")[0]].append(name)
    return found


def _names(place: Path) -> Iterator[str]:
    for part in _entries(place):
        yield from (name for name in _entries(place / part) if not name.endswith(UNFINISHED))


def _entries(folder: Path) -> Sequence[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _digest(text: str, more: bytes = b"") -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape") + b"\0" + more).hexdigest()[:32]
