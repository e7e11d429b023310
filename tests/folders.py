"""Photographs in class folders."""

from __future__ import annotations

import shutil
from pathlib import Path


def some_birds(photographs: Path, root: Path, classes: int, images: int) -> Path:
    """So many classes of so many photographs of birds, copied to ``root``."""
    for folder in sorted((photographs / "cub100" / "images").iterdir())[:classes]:
        (root / folder.name).mkdir(parents=True)
        for picture in sorted(folder.iterdir())[:images]:
            shutil.copy(picture, root / folder.name)
    return root
