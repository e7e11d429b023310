"""Pictures of a source, embedded straight into rows of an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bier.data import Manifest, image_loader
from bier.encoder import PictureEncoder
from bier.errors import ImageError
from bier.search.base import Rows


def embedded(
    encoder: PictureEncoder, manifest: Manifest, failed: Callable[[ImageError], object], batch_size: int = 64
) -> Iterator[Rows]:
    """Every readable picture, its id the path that the manifest gives it; ``failed`` hears of the others."""
    for batch in image_loader(manifest, encoder.transform, batch_size, 0):
        for error in batch.failed:
            failed(error)
        if len(batch):
            rows = batch.index.tolist()
            metadata = [{"image": str(_absolute(manifest, row)), "label": manifest.title(row)} for row in rows]
            ids = [str(manifest.image[row]) for row in rows]
            yield Rows(ids, encoder.encode(batch.images).numpy(), metadata)


def _absolute(manifest: Manifest, row: int) -> Path:
    return manifest.path(row).resolve()
