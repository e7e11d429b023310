"""A model that takes no time, pictures of one colour, and indexes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ensembles import fitted
from PIL import Image
from torch import Tensor

from bier.data import TestTransform
from bier.search import Index, IndexInfo, create_index
from bier.vectors.encoder import Encoder

CLASSES, EACH = 5, 4


class Colours:
    """A model whose vectors are the mean colour of a picture, seen by a matrix of its own: quick, and exactly known."""

    calibration = None
    transform = TestTransform(32)

    def __init__(self, number: int, sizes: tuple[int, ...] = (4, 8)) -> None:
        self.fingerprint, self.sizes = f"model-{number}", sizes
        self.scales = (0.6, 0.8)
        self.dimensions = sum(sizes)
        self._matrix = np.random.default_rng(number).standard_normal((3, self.dimensions))
        self.seen = 0

    prepare = Encoder.prepare

    def prefix_scales(self, learners: int) -> tuple[float, ...]:
        return self.scales[:learners]

    def encode(self, images: Tensor | Sequence[Tensor], learners: int | None = None) -> Tensor:
        pictures = images if isinstance(images, Tensor) else torch.stack(list(images))
        self.seen += len(pictures)
        means = pictures.float().mean((2, 3)).numpy() - 127.3
        return torch.from_numpy(fitted(means @ self._matrix, self))


def painted(root: Path) -> list[Path]:
    """Twenty pictures in folders of classes; the colours of a class are alike."""
    random, made = np.random.default_rng(0), []
    for label in range(CLASSES):
        base = random.integers(20, 236, 3)
        for image in range(EACH):
            made.append(root / f"class {label}" / f"{image}.png")
            paint(made[-1], base + random.integers(-9, 10, 3))
    return made


def paint(path: Path, colour: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 32), tuple(map(int, colour))).save(path)


def name_of(photo: Path) -> str:
    """Its id."""
    return f"{photo.parent.name}/{photo.name}"


def filled(folder: Path, photos: list[Path], engine: str, model: int = 1, model_path: str | None = None) -> None:
    """A new index of the pictures, with a field of numbers."""
    encoder = Colours(model)
    info = IndexInfo(
        encoder.fingerprint,
        encoder.sizes,
        encoder.scales,
        model_path=model_path,
        fields=("image", "label", "price"),
        types={"price": "decimal"},
    )
    with create_index(folder, info, engine) as index:
        add(index, encoder, photos)


def add(index: Index, encoder: Colours, photos: list[Path]) -> None:
    about = [{"image": str(photo), "label": photo.parent.name, "price": float(len(photo.name))} for photo in photos]
    index.add([name_of(photo) for photo in photos], encoder.encode([encoder.prepare(photo) for photo in photos]), about)


def rows_of(index: Index) -> dict[str, tuple[dict[str, Any], bytes]]:
    """All that an index holds: metadata and vector by id."""
    return {row.id: (row.metadata, row.vector.tobytes()) for rows in index.scan() for row in rows.records()}


def expected(encoder: Colours, photos: list[Path]) -> dict[str, bytes]:
    """The vectors that an index of these pictures holds."""
    vectors = encoder.encode([encoder.prepare(photo) for photo in photos]).numpy()
    return {name_of(photo): vector.tobytes() for photo, vector in zip(photos, vectors, strict=True)}
