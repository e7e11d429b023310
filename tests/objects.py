"""Pictures with several objects, and a table of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

HEADER = "image,label,bbox,price"
ROWS = [
    "street.png,car,0 0 20 16,5",
    "street.png,dog,20 0 20 16,6",
    "yard/yard.png,yard,,7",
    "street.png,tree,5.5 15 20.25 30,8",
]
IDS = ["street.png#0,0,20,16", "street.png#20,0,20,16", "yard/yard.png", "street.png#5.5,15,20.25,30"]
BOXES = [(0.0, 0.0, 20.0, 16.0), (20.0, 0.0, 20.0, 16.0), None, (5.5, 15.0, 20.25, 30.0)]
"""The last one reaches beyond its picture."""


def street(root: Path, rows: list[str] = ROWS) -> Path:
    """A table of objects beside its two pictures, of 40 x 32 coloured pixels that differ from one another."""
    (root / "yard").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name in ("street.png", "yard/yard.png"):
        blocks = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8))).save(root / name)
    return listed(root, rows)


def listed(root: Path, rows: list[str], header: str = HEADER) -> Path:
    """The table alone, written anew."""
    (root / "objects.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return root / "objects.csv"
