"""Photographs in class folders."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image


def some_birds(photographs: Path, root: Path, classes: int, images: int) -> Path:
    """So many classes of so many photographs of birds, copied to ``root``."""
    for folder in sorted((photographs / "cub100" / "images").iterdir())[:classes]:
        (root / folder.name).mkdir(parents=True)
        for picture in sorted(folder.iterdir())[:images]:
            shutil.copy(picture, root / folder.name)
    return root


def drawn(folder: Path, count: int, name: str = "{}.png") -> list[Path]:
    """So many small pictures of one colour each, by their numbers."""
    folder.mkdir(parents=True)
    files = [folder / name.format(number) for number in range(1, count + 1)]
    for number, file in enumerate(files):
        Image.new("RGB", (40, 30), (20 * number, 90, 120)).save(file)
    return files
