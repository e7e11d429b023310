"""From a path to a manifest: which reader fits, and what every source must offer. One file a kind of source."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bier.data import label_cells
from bier.data.datasets import memory, table
from bier.data.datasets.annotations import RowFaults
from bier.data.datasets.reader import Reader
from bier.data.manifest import UNDECIDED, Manifest, split_by_class
from bier.data.references import look_up
from bier.errors import DataError, nearest
from bier.settings.schema import DataConfig
from bier.system import places
from bier.system.registry import Registry

__all__ = ["open_faulty", "open_labels", "open_source", "open_table"]

READERS: Registry[Reader] = Registry("format", __name__, "bier.datasets")
"""A file here, or an entry point ``bier.datasets`` of another package, adds one."""
FOLDER = "folder"
SHARDS = "shards"


def open_source(source: str | Path, config: DataConfig | None = None) -> Manifest:
    """The manifest of a folder, table or benchmark.

    Pictures are not opened, nor looked for: that is what `bier.data.check.check` does.

    Args:
        source: a CSV or Parquet file, a folder with ``labels.csv``, a benchmark's directory, a folder of class
            folders, tar files, a folder of tar or Parquet files, or one that ``datasets`` saved.
        config: the format (``auto`` looks at the source), what to do where no split is given, and whether to keep the
            bounding boxes: a manifest has them only if pictures are to be cut. None given: the defaults.

    Raises:
        DataError: there is no such source, it is malformed, or nothing can be learned from it: no pictures, one class
            only, fewer than two pictures in every class, queries without a gallery.
    """
    config = config or DataConfig()
    path, manifest = _read(source, config, None)
    return _usable(manifest, path, config)


def open_table(source: Any, config: DataConfig | None = None) -> Manifest:
    """The manifest of a table in memory: pandas, polars, pyarrow, or a list of (path, label).

    Raises:
        DataError: as `open_source`; or it is no such table.
    """
    config = config or DataConfig()
    place = Path(memory.NAME)
    manifest = table.from_arrow(memory.as_arrow(source), place, wanted=table.Wanted.of(config))
    return replace(_usable(manifest, place, config), source=memory.NAME)


def open_faulty(source: str | Path, config: DataConfig | None = None) -> tuple[Manifest, list[tuple[int | None, str]]]:
    """What can be read of a source, and what is wrong with the rest: row (none for the whole) and message.

    For `bier.data.check.check`, which says what is wrong with what can be read.

    Raises:
        DataError: there is no such source, or it is malformed as a whole.
    """
    config = config or DataConfig()
    faulty = RowFaults(places.path_of(source))
    _, manifest = _read(source, config, faulty)
    faults: list[tuple[int | None, str]] = [*faulty.found]
    steps: list[Callable[[Manifest], Manifest]] = [lambda whole: _with_split(whole, config), _with_protocol]
    for step in steps if len(manifest) else ():
        try:
            manifest = step(manifest)
        except DataError as error:
            faults.append((None, error.what))
    manifest = _warned(manifest, config)
    return manifest if config.crop_to_bbox else replace(manifest, bbox=None), faults


def open_labels(source: str | Path) -> Manifest:
    """The pictures and labels of a source as they are, also where nothing can be learned from them alone.

    Raises:
        DataError: there is no such source, it is malformed, or it is empty.
    """
    path, manifest = _read(source, DataConfig(), None)
    if not len(manifest):
        raise DataError("there are no labels", where=path, remedy="give a table with rows of image and label")
    return manifest


def _read(source: str | Path, config: DataConfig, faulty: RowFaults | None) -> tuple[Path, Manifest]:
    path = places.source(source)
    if not places.exists(path):
        _refuse_missing(path)
    with reading(path):
        kind = kind_of(path) if config.format == "auto" else config.format
        if kind not in READERS:
            remedy = nearest(kind, ("auto", *READERS))
            raise DataError(f"unknown format {kind!r}", where="data.format", remedy=remedy)
        manifest = READERS[kind].read(path, config, faulty)
    look_up(manifest.image, manifest.root)
    return path, manifest


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A `DataError` for what the system refuses to read of a source."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}",
            where=error.filename or path,
            remedy="check that you may read the folder and what is in it",
        ) from error


def _usable(manifest: Manifest, path: Path, config: DataConfig) -> Manifest:
    _refuse_useless(manifest, path, config.label_separator)
    manifest = _warned(_with_protocol(_with_split(manifest, config)), config)
    return manifest if config.crop_to_bbox else replace(manifest, bbox=None)


def _warned(manifest: Manifest, config: DataConfig) -> Manifest:
    told = None if config.label_separator else label_cells.warning(manifest.label.tolist())
    return manifest if told is None else replace(manifest, notes=(*manifest.notes, told))


def _with_split(manifest: Manifest, config: DataConfig) -> Manifest:
    undecided = bool((manifest.split == UNDECIDED).all())
    return split_by_class(manifest, config.test_classes) if undecided else manifest


def kind_of(path: Path) -> str:
    """The name of the reader that recognises a file or folder.

    A table in a folder comes before what else is in it, and tar files, which may be copies of the rest, come last.

    Raises:
        DataError: no reader takes such a file.
    """
    names = sorted(READERS, key=lambda name: (name != "csv", name == SHARDS))
    found = next((name for name in names if READERS[name].recognises(path)), None)
    if found is None and path.is_file():
        raise DataError(
            f"files of kind {path.suffix or path.name!r} are no source of pictures",
            where=path,
            remedy="give a .csv, .parquet or .tar file, or a folder",
        )
    return found or FOLDER


def _refuse_missing(path: Path) -> None:
    try:
        close = get_close_matches(path.name, os.listdir(path.parent), n=1, cutoff=0.6)
    except OSError:
        close = []
    raise DataError(
        "there is no such file or folder",
        where=path,
        remedy=f"did you mean {str(path.parent / close[0])!r}?" if close else "check the path",
    )


def _refuse_useless(manifest: Manifest, path: Path, separator: str | None) -> None:
    counts = Counter(manifest.label)
    if separator is not None:
        counts = Counter(label for cell in manifest.label for label in label_cells.parts(cell, separator))
    if not counts:
        raise DataError("there are no pictures", where=path, remedy="add rows, or class folders with pictures")
    if len(counts) == 1:
        raise DataError(
            f"there is one class only, {next(iter(counts))!r}",
            where=path,
            remedy="give at least two classes; a folder should hold one folder for each class",
        )
    if max(counts.values()) < 2:
        raise DataError(
            f"each of the {len(counts):,} classes has a single picture",
            where=path,
            remedy="give classes of two pictures or more: similarity is learned, and measured, between pictures of "
            "one class",
        )


def _with_protocol(manifest: Manifest) -> Manifest:
    splits = set(manifest.split)
    pair = splits & {"query", "gallery"}
    if not pair:
        return manifest
    if len(pair) == 1:
        missing = "gallery" if "query" in pair else "query"
        raise DataError(
            f"there are pictures of split {next(iter(pair))!r}, but none of split {missing!r}",
            where=manifest.source,
            remedy=f"name the {missing} pictures too, or use 'test' to search among the test pictures themselves",
        )
    if "test" in splits:
        raise DataError(
            "there are pictures of split 'test' beside 'query' and 'gallery'",
            where=manifest.source,
            remedy="use either test (each picture searches among the others) or query and gallery",
        )
    return replace(manifest, protocol="query-gallery")
