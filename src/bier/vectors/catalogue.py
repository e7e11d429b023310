"""A catalogue of pictures to vectors on disk: any number of them, in bounded memory, resumed after any stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bier.data import TestTransform
from bier.data.images import cut, read_picture
from bier.data.workers import from_workers, memory_to_share
from bier.errors import DataError, ImageError, nearest
from bier.system.files import tidy
from bier.system.places import Place, as_path
from bier.vectors.encoder import PictureEncoder
from bier.vectors.parts import (
    INFO,
    TYPES,
    Part,
    VectorBatch,
    VectorsInfo,
    VectorType,
    part_file,
    part_files,
    read_info,
    read_part,
    write_failed,
    write_part,
)
from bier.vectors.sources import Entry, Source, open_catalogue

BATCHES_IN_A_PART = 32
"""What a kill can lose; the next command computes it again."""


Progress = Callable[[VectorsInfo, int | None, int], object]


def embed_catalogue(
    encoder: PictureEncoder,
    source: str | Path | Sequence[str | Path],
    out: Path | str,
    *,
    type: VectorType = "float32",
    learners: int | None = None,
    batch_size: int = 64,
    workers: int = 0,
    class_depth: int | None = None,
    label_separator: str | None = None,
    objects: bool = False,
    progress: Progress | None = None,
    remark: Callable[[str], object] | None = None,
) -> VectorsInfo:
    """Vectors of every readable picture, in the folder ``out``; called again after a stop, it goes on.

    What is stored does not depend on where it was stopped, nor on ``workers``.

    Args:
        encoder: the model.
        source: a folder of pictures, a CSV or Parquet table, a benchmark's directory, a folder of tar files, or tar
            files.
        out: new, or begun with the same model, source and settings.
        type: of the stored numbers.
        learners: store the first so many alone; all by default.
        batch_size: pictures at once.
        workers: processes that decode; 0 decodes in this one.
        class_depth: how many folders deep the classes of a folder lie; 1 by default.
        label_separator: what stands between the labels of a picture, which become the field ``labels`` of texts.
        objects: embed what is in each box of a table, and not whole pictures; the field ``bbox`` says which part.
        progress: called after each batch with what is done (the unfinished part included), how many pictures there
            are, if that is known, and how many were in the batch.
        remark: called at the end with lines about the source, such as what was passed over.

    Raises:
        DataError: there is no such source, it has no boxes for ``objects``, an id occurs twice, ``out`` holds something
            else, no picture can be read.
        StorageError: the disk is full; parts that are there stay, and the next call goes on after them.
    """
    catalogue, out = open_catalogue(source, class_depth, label_separator, objects=objects), as_path(out)
    begun = _begin(encoder, catalogue, out, type, learners, batch_size)
    parts = [read_part(path) for path in part_files(out)]
    failed = [failure for part in parts for failure in part.failed]
    info = replace(begun, count=sum(part.count for part in parts), failed=len(failed))
    if begun.complete and info.count == begun.count:
        return info
    start = parts[-1].end if parts else (0, 0)
    batches = _embedded(encoder, catalogue, start, info.learners, info.batch_size, workers)
    for number in range(len(parts), sys.maxsize):
        rows, part = _collect(batches, info, catalogue.total, progress)
        if part is None:
            break
        write_part(part_file(out, number), rows, type, part, info.fields)
        failed += part.failed
        info = replace(info, count=info.count + part.count, failed=len(failed))
        if part.failed:
            write_failed(out, failed)
    if not info.count:
        raise DataError(
            f"none of the {info.failed:,} pictures can be read" if failed else "there are no pictures",
            where=catalogue.name,
            remedy=f"see {out / 'failed.csv'}" if failed else "give a source that has some",
        )
    if remark is not None:
        for line in catalogue.remarks():
            remark(line)
    write_failed(out, failed)
    info = replace(info, complete=True)
    info.save(out)
    return info


def embedded(
    encoder: PictureEncoder,
    source: Source,
    failed: Callable[[str, str], object],
    *,
    batch_size: int = 64,
    workers: int = 0,
) -> Iterator[VectorBatch]:
    """The whole vectors of every readable picture, without a folder; ``failed`` hears of the others, and why."""
    for batch in _embedded(encoder, source, (0, 0), len(encoder.sizes), batch_size, workers):
        for image, what in batch.failed:
            failed(image, what)
        yield batch.rows()


def _begin(
    encoder: PictureEncoder, source: Source, out: Path, type: VectorType, learners: int | None, batch_size: int
) -> VectorsInfo:
    if type not in TYPES:
        raise DataError(f"unknown type of vectors {type!r}", where="--type", remedy=nearest(type, TYPES))
    if batch_size < 1:
        raise DataError(f"batches of {batch_size} pictures", where="--batch-size", remedy="give 1 or more")
    count = len(encoder.sizes) if learners is None else learners
    info = VectorsInfo(
        model=encoder.fingerprint,
        sizes=encoder.sizes[:count],
        scales=encoder.prefix_scales(count),
        type=type,
        source=source.name,
        source_fingerprint=source.fingerprint,
        precision=str(getattr(encoder, "precision", torch.float32)).removeprefix("torch."),
        batch_size=batch_size,
        fields=source.kinds,
    )
    if (out / INFO).is_file():
        begun = read_info(out)
        _refuse_other(begun, info, out)
        if not isinstance(out, Place):
            tidy(out)
        return begun
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("is there already, and no folder of vectors", where=out, remedy="give a new folder")
    info.save(out)
    return info


def _refuse_other(begun: VectorsInfo, wanted: VectorsInfo, out: Path) -> None:
    differences = {
        "of another model": begun.model != wanted.model,
        f"of another source ({begun.source}), or of one that has changed since": (
            begun.source_fingerprint != wanted.source_fingerprint
        ),
        f"of type {begun.type}": begun.type != wanted.type,
        f"of {begun.learners} learners": begun.sizes != wanted.sizes,
        f"computed in {begun.precision}": begun.precision != wanted.precision,
        f"computed in batches of {begun.batch_size}": begun.batch_size != wanted.batch_size,
    }
    for what, differs in differences.items():
        if differs:
            raise DataError(
                f"holds vectors {what}", where=out, remedy="go on with the same command as before, or give a new folder"
            )


@dataclass(frozen=True, eq=False)
class _Batch:
    pictures: list[Entry]
    kept: list[int]
    failed: list[tuple[str, str]]
    vectors: NDArray[np.float32]

    def rows(self) -> VectorBatch:
        pictures = [self.pictures[position] for position in self.kept]
        metadata = [{"image": picture.image, "label": picture.label, **picture.fields} for picture in pictures]
        return VectorBatch([picture.id for picture in pictures], self.vectors, metadata)


def _collect(
    batches: Iterable[_Batch], info: VectorsInfo, total: int | None, progress: Progress | None
) -> tuple[VectorBatch, Part | None]:
    """The rows of the next part, or none where the source is at its end."""
    done: list[_Batch] = []
    for batch in islice(batches, BATCHES_IN_A_PART):
        done.append(batch)
        info = replace(info, count=info.count + len(batch.kept), failed=info.failed + len(batch.failed))
        if progress is not None:
            progress(info, total, len(batch.pictures))
    found = [batch.rows() for batch in done]
    rows = VectorBatch(
        [name for part in found for name in part.ids],
        np.concatenate([np.empty((0, info.dimensions), np.float32), *(part.vectors for part in found)]),
        [row for part in found for row in part.metadata],
    )
    failed = [failure for batch in done for failure in batch.failed]
    return rows, Part(len(rows), done[-1].pictures[-1].end, failed) if done else None


def _embedded(
    encoder: PictureEncoder, source: Source, start: tuple[int, int], learners: int, batch_size: int, workers: int
) -> Iterator[_Batch]:
    for pictures, images, kept, failed in _decoded(source.pictures(start), encoder.transform, batch_size, workers):
        vectors = np.empty((0, sum(encoder.sizes[:learners])), np.float32)
        if kept:
            vectors = encoder.encode(torch.as_tensor(images), learners).numpy()
        _check_finite(vectors, [pictures[position] for position in kept], source)
        yield _Batch(pictures, kept, failed, vectors)


def _check_finite(vectors: NDArray[np.float32], pictures: list[Entry], source: Source) -> None:
    faulty = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
    if faulty:
        raise DataError(
            f"the model gives NaN or infinity for {pictures[faulty[0]].id} ({len(faulty)} of a batch)",
            where=source.name,
            remedy="train again; with bfloat16, try float32",
        )


# Pictures of a batch, images uint8 (b, 3, s, s) of those that can be read, their positions, and the failures.
_Decoded = tuple[list[Entry], NDArray[np.uint8] | Tensor, list[int], list[tuple[str, str]]]


class _Decoder(Dataset[_Decoded]):
    """``decoder[pictures]`` is the content of a batch."""

    def __init__(self, transform: TestTransform, share: bool) -> None:
        self.transform, self.share = transform, share
        self._whole = "", torch.empty(0)
        """The picture that was cut last: the next object is often in it, too."""

    def __getitem__(self, pictures: list[Entry]) -> _Decoded:
        size = self.transform.size
        images = np.empty((len(pictures), 3, size, size), dtype=np.uint8)
        kept: list[int] = []
        failed: list[tuple[str, str]] = []
        for position, picture in enumerate(pictures):
            try:
                images[len(kept)] = self.transform(self._read(picture)).numpy()
                kept.append(position)
            except ImageError as error:
                failed.append((picture.place, error.what))
        found = images[: len(kept)]
        return pictures, torch.from_numpy(found) if self.share else found, kept, failed

    def _read(self, picture: Entry) -> Tensor:
        if picture.fault is not None:
            raise ImageError(picture.fault, where=picture.id)
        if picture.box is None:
            return read_picture(picture.image, name=picture.id, view=self.transform)
        if self._whole[0] != picture.image:
            self._whole = picture.image, read_picture(picture.image, name=picture.id)
        return cut(self._whole[1], picture.box, picture.id)


def _decoded(pictures: Iterator[Entry], transform: TestTransform, batch_size: int, workers: int) -> Iterator[_Decoded]:
    """All batches, the next ones decoded ahead; the source is read no further than they need."""
    share = workers > 0 and memory_to_share(batch_size * 3 * transform.size**2, workers)
    batches = iter(lambda: list(islice(pictures, batch_size)), [])
    return from_workers(_Decoder(transform, share), batches, workers)
