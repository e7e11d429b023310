"""A catalogue of pictures to vectors on disk: any number of them, in bounded memory, resumed after any stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from bier.errors import DataError, nearest
from bier.system.files import is_free, tidy
from bier.system.places import Place, as_path
from bier.vectors.batches import Batch, Task
from bier.vectors.encoder import PictureEncoder
from bier.vectors.engines import Engine
from bier.vectors.engines.local import computed
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
from bier.vectors.sources import Source, open_catalogue

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
    engine: Engine | None = None,
    class_depth: int | None = None,
    label_separator: str | None = None,
    objects: bool = False,
    progress: Progress | None = None,
    remark: Callable[[str], object] | None = None,
) -> VectorsInfo:
    """Vectors of every readable picture, in the folder ``out``; called again after a stop, it goes on.

    What is stored does not depend on where it was stopped, nor on ``workers``, nor on the engine.

    Args:
        encoder: the model.
        source: a folder of pictures, a CSV or Parquet table, a benchmark's directory, a folder of tar files, or tar
            files.
        out: new, or begun with the same model, source and settings.
        type: of the stored numbers.
        learners: store the first so many alone; all by default.
        batch_size: pictures at once.
        workers: processes that decode; 0 decodes in this one.
        engine: what computes, and decides on ``workers`` itself; None: this process.
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
    pictures, task = catalogue.pictures(start), Task(info.learners, info.batch_size, catalogue.name)
    batches = engine.batches(encoder, pictures, task) if engine else computed(encoder, pictures, task, workers)
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
    task = Task(len(encoder.sizes), batch_size, source.name)
    for batch in computed(encoder, source.pictures((0, 0)), task, workers):
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
    begun = read_info(out) if (out / INFO).is_file() else None
    if begun is not None:
        _refuse_other(begun, info, out)
    elif not is_free(out):
        raise DataError("is there already, and no folder of vectors", where=out, remedy="give a new folder")
    if not isinstance(out, Place):
        tidy(out)
    if begun is None:
        info.save(out)
    return begun or info


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


def _collect(
    batches: Iterable[Batch], info: VectorsInfo, total: int | None, progress: Progress | None
) -> tuple[VectorBatch, Part | None]:
    """The rows of the next part, or none where the source is at its end."""
    done: list[Batch] = []
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
