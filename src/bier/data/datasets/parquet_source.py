"""Parquet as a source: one file, or a folder of them, as those of Hugging Face's hub are cut."""

from __future__ import annotations

from pathlib import Path

from bier.data.datasets.annotations import RowFaults
from bier.data.datasets.parts import Part, collect, holds_parts, joined, names_in, splits_of
from bier.data.datasets.reader import Reader
from bier.data.datasets.table import FOR_TRAINING, Wanted, read_parquet
from bier.data.datasets.walk import walk
from bier.data.formats import is_readable, suffix_of
from bier.data.manifest import Manifest, natural
from bier.errors import DataError
from bier.system.places import is_url, matching

SUFFIX = ".parquet"


def read(path: Path, faulty: RowFaults | None = None, wanted: Wanted = FOR_TRAINING) -> Manifest:
    """The rows of one file, or of all files below a folder; there the names of files may say the split.

    Args:
        path: of the file or folder.
        faulty: as for `bier.data.datasets.table.read_parquet`.
        wanted: likewise.

    Raises:
        DataError: there is no such file, only some of the names say a split, a class or a field is another in different
            files, or as for `bier.data.datasets.table.read_parquet`.
    """
    several = matching(path)
    if not several and not path.is_dir():
        return read_parquet(path, faulty, wanted)
    names = sorted(several or [name for name in walk(path).files if suffix_of(name) == SUFFIX], key=natural)
    path = path.parent if several else path
    if not names:
        raise DataError("there are no Parquet files in this folder", where=path, remedy="give a folder with some")
    parts = []
    for name, split in zip(names, splits_of(path, names), strict=True):
        found = RowFaults(path / name)
        table = read_parquet(path / name, None if faulty is None else found, wanted)
        parts.append(Part(name, table, split))
        collect(name, found, faulty)
    return joined(path, parts)


def _is_parquet(path: Path) -> bool:
    if path.suffix.lower() == SUFFIX and (is_url(path) or path.is_file()):
        return True
    return holds_parts(path, SUFFIX) and not any(map(is_readable, names_in(path)))


MEMBERS = {"parquet": Reader(_is_parquet, lambda path, config, faulty: read(path, faulty, Wanted.of(config)))}
