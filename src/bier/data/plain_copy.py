"""A picture as plain pixels in a file: read at once, without a decoder."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import numpy as np
import torch
from torch import Tensor

from bier.errors import StorageError

_HEADER = struct.Struct("<8sII")
"""Eight letters that say what it is, then height and width."""
_MAGIC = b"bier-rgb"
UNFINISHED = ".tmp"
"""Suffix of a file that is being written."""


def write_copy(path: Path, image: Tensor, mark: str = "") -> None:
    """Write pixels, uint8 (3, H, W), whole or not at all; raises OSError.

    Beside the path, a file with the mark and the suffix `UNFINISHED` in its name is filled first. A kill leaves it.
    """
    height, width = image.shape[-2:]
    beside = path.with_name(f"{path.name}.{mark or token_hex(4)}{UNFINISHED}")
    try:
        with beside.open("wb") as file:
            file.write(_HEADER.pack(_MAGIC, height, width))
            file.write(image.permute(1, 2, 0).contiguous().numpy().data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_copy(path: str) -> Tensor:
    """What `write_copy` has written: uint8 (3, H, W).

    Raises:
        StorageError: it is gone, or damaged.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
        magic, height, width = _HEADER.unpack(content[: _HEADER.size].tobytes())
        if magic != _MAGIC:
            raise ValueError
        pixels = content[_HEADER.size :].reshape(height, width, 3)
    except (OSError, ValueError, struct.error) as error:
        with suppress(OSError):
            Path(path).unlink()  # so that it is made anew
        raise StorageError(
            "a prepared copy is gone or damaged", where=path, remedy="repeat the command, a training with --resume"
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)
