"""A table of LanceDB in an index's folder: on the disk before a change counts as done, and with checksums.

LanceDB commits each change as a new version, whole or not at all, but leaves it to the system when its files reach the
disk. So every file of a version is synced before the change counts as done. ``durable.json`` then names the version,
and the checksums of the files. After a power failure a newer version may be damaged; it was acknowledged to nobody. It
is put aside when the index is opened, while nobody writes, and only if the acknowledged version can be read. Reading
changes nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bier.errors import SearchError
from bier.search.durable import (
    DURABLE,
    Checksums,
    check_files,
    checksum,
    checksums_in,
    damaged,
    read_durable,
    write_durable,
)
from bier.search.lance_errors import REMEDY, is_damage, lance_errors
from bier.search.writers import only_writer
from bier.system.files import sync

BYTES_AT_OPENING = 256 * 2**20
"""So many are compared with their checksums when an index is opened: 100,000 pictures of 512 dimensions."""

_NEWEST_NAME = 2**64 - 1


class Durable(NamedTuple):
    """What ``durable.json`` says."""

    version: int
    files: Checksums


class TableInFolder:
    """Where a table lies, and what keeps it sound.

    Args:
        folder: of the index.
        name: of the table.
        connected: gives the table at its newest version.
        read_through: reads all rows of one, and raises where one is damaged.
    """

    def __init__(
        self, folder: Path, name: str, connected: Callable[[], Any], read_through: Callable[[Any], None]
    ) -> None:
        self._folder = folder
        self._root = folder / f"{name}.lance"
        self._connected = connected
        self._all_read = read_through

    def open(self) -> Any:
        """The table at its newest version, but for one that nobody acknowledged and that is damaged.

        Raises:
            SearchError: a file is damaged, or the acknowledged version is gone.
        """
        durable = self._durable()
        check_files(self._folder, durable.files, BYTES_AT_OPENING)
        table = self._newest()
        if table.version < durable.version:
            raise SearchError(
                f"version {durable.version} is gone, {table.version} is the newest", where=self._root, remedy=REMEDY
            )
        return table

    def check(self) -> int:
        """Compare every file with its checksum; gives their number."""
        return check_files(self._folder, self._durable().files)

    def settle(self, version: int) -> None:
        """Have everything up to a version on the disk, and acknowledge it."""
        before = self._durable()
        there = dict.fromkeys(_kept(self._folder, self._root))
        new = [self._folder / name for name in there if name not in before.files]
        for path in new:
            sync(path)
        for folder in {parent for path in new for parent in (path.parent, self._root, self._folder)}:
            sync(folder)
        files = {name: entry for name, entry in before.files.items() if name in there}
        files |= {path.relative_to(self._folder).as_posix(): checksum(path) for path in new}
        if (version, files) != before:
            write_durable(self._folder, {"version": version, "files": files})

    def _durable(self) -> Durable:
        with lance_errors(self._folder):
            content = read_durable(self._folder)
        if content is None:
            return Durable(0, {})
        version = content.get("version")
        if type(version) is not int or not 0 < version < _NEWEST_NAME:
            raise damaged(self._folder / DURABLE, "no number in 'version'")
        return Durable(version, checksums_in(self._folder, content))

    def _newest(self) -> Any:
        if not self._unacknowledged():
            return self._connected()
        try:
            return self._read_through()
        except Exception as error:
            if not is_damage(error):
                raise
        with only_writer(self._folder):  # nobody is about to acknowledge what is put aside
            return self._put_aside()

    def _put_aside(self) -> Any:
        try:
            return self._read_through()
        except Exception as error:
            if not is_damage(error):
                raise
        renamed = {path: path.with_suffix(".damaged") for path in self._unacknowledged()}
        for path, aside in renamed.items():
            path.rename(aside)
        try:
            return self._read_through()  # which proves that it was not for lack of something else
        except Exception:
            for path, aside in renamed.items():
                aside.rename(path)
            raise

    def _unacknowledged(self) -> list[Path]:
        version = self._durable().version
        manifests = self._root.glob("_versions/*.manifest")
        return [path for path in manifests if version and _NEWEST_NAME - int(path.stem) > version]

    def _read_through(self) -> Any:
        table = self._connected()
        self._all_read(table)
        return table


def _kept(index: Path, root: Path) -> Iterator[str]:
    """The files of a table that never change, and are whole since they have their name: paths within the index."""

    def fail(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(root, onerror=fail):
        within = Path(folder).relative_to(index).as_posix()
        for name in names:
            if not name.startswith(".tmp") and "#" not in name and not name.endswith((".json", ".damaged")):
                yield f"{within}/{name}"
