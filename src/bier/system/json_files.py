"""Reading JSON that may come from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from bier.system.json_values import parse
from bier.system.places import Place

LARGEST = 64 * 2**20
"""Bytes of a file that is read."""


def read_object(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else; with the reason, which fits behind "cannot be read".
    """
    if not isinstance(file, Place) and file.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST:,} bytes")
    return parse_object(file.read_bytes())


def parse_object(data: bytes | str) -> dict[str, Any]:
    """The same, of bytes or a text."""
    content = parse(data, constants=_refuse)
    if not isinstance(content, dict):
        raise ValueError(f"no JSON object, but {type(content).__name__}")
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
