"""``durable.json``: what of an index was acknowledged, and the checksums of its files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bier.errors import SearchError
from bier.search.base import RESTORE
from bier.system.files import write_text
from bier.system.json_files import read_object

DURABLE = "durable.json"
_PIECE = 2**20

Checksums = dict[str, tuple[int, int]]
"""Path within the index's folder to size and CRC-32, in the order in which they were acknowledged."""


def read_durable(folder: Path) -> dict[str, Any] | None:
    """What was acknowledged; None for an index of an earlier version that says nothing.

    Raises:
        SearchError: the file is damaged.
        OSError: it cannot be read.
    """
    file = folder / DURABLE
    try:
        return read_object(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damaged(file, str(error)) from error


def write_durable(folder: Path, content: Mapping[str, Any]) -> None:
    # On one line, which takes a tenth of the time: after many changes there are thousands of files.
    write_text(folder / DURABLE, json.dumps(content))


def checksums_in(folder: Path, content: Mapping[str, Any]) -> Checksums:
    """Those in ``durable.json``, which may hold anything."""
    files = content.get("files", {})
    good = isinstance(files, dict) and all(
        isinstance(entry, list) and len(entry) == 2 and all(type(number) is int for number in entry)
        for entry in files.values()
    )
    if not good:
        raise damaged(folder / DURABLE, "no checksums in 'files'")
    return {name: (size, checksum) for name, (size, checksum) in files.items()}


def checksum(file: Path) -> tuple[int, int]:
    """Size and CRC-32."""
    size = value = 0
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            size, value = size + len(piece), zlib.crc32(piece, value)
    return size, value


def check_files(folder: Path, checksums: Checksums, most: int | None = None) -> int:
    """Compare files with what was acknowledged; a file that is gone is passed over, since old ones are tidied up.

    Args:
        folder: of the index.
        checksums: of its files.
        most: bytes to read, the files that were acknowledged last first; of the others, the size alone is compared.

    Returns:
        the number of files that were read.

    Raises:
        SearchError: one is another than it was.
        OSError: one cannot be read.
    """
    count = 0
    for name, (size, expected) in reversed(checksums.items()):
        file = folder / name
        try:
            found = file.stat().st_size
            if found != size:
                raise damaged(file, f"it has {found:,} bytes, and {size:,} were acknowledged")
            if most is not None and size > most:
                continue
            if checksum(file) != (size, expected):
                raise damaged(file, "its checksum is another")
        except FileNotFoundError:
            continue
        count += 1
        most = None if most is None else most - size
    return count


def damaged(file: Path, reason: str) -> SearchError:
    return SearchError(f"is damaged: {reason}", where=file, remedy=RESTORE)
