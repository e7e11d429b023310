"""Filling an index: what is new is added, what has changed is replaced, what has gone is told or removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bier.errors import SearchError
from bier.search.approximate import ApproximateIndex, check_recall
from bier.search.base import Index, Rows
from bier.search.gone import SourceWatch
from bier.search.stages import Show, Tell, silent, unseen

ROWS_AT_ONCE = 16_384
"""Most rows of one change of the index: each change costs a version and a sync."""
SECONDS_AT_ONCE = 15.0
"""After which a change is made with fewer rows: of pictures that are embedded, an interruption loses no more."""


class Batch(Protocol):
    """Some pictures: rows of an index, or of a folder of vectors."""

    @property
    def ids(self) -> list[str]: ...
    @property
    def vectors(self) -> NDArray[np.float32]: ...
    @property
    def metadata(self) -> list[dict[str, Any]]: ...


@dataclass
class Filled:
    """What became of the pictures."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    gone: list[str] = field(default_factory=list)
    """Ids in the index that came from this source, and that it no longer has."""


def fill(
    index: Index,
    batches: Iterable[Batch],
    progress: Callable[[int], object] | None = None,
    *,
    prefix: str = "",
    moved: bool = False,
    prune: bool = False,
    unread: Collection[str] = (),
    recall: float | None = None,
    tell: Tell = silent,
    show: Show = unseen,
    watch: SourceWatch | None = None,
    stored: Callable[[Rows], object] = lambda rows: None,
) -> Filled:
    """Bring the index up to date with these pictures; it may be repeated after an interruption.

    Args:
        index: is filled. Fields that a picture lacks are None; what the index has no field for is passed over.
        batches: the pictures.
        progress: called with the number of rows that are done since the last call.
        prefix: put before every id.
        moved: a known id with the path of another file is the same picture, elsewhere.
        prune: remove what has gone from the source.
        unread: paths of what the source has and could not be read, known once the batches are at their end.
        recall: wanted of an approximate index, where the engine has one and the pictures are many; by default what was
            wanted before, or `USUAL_RECALL`.
        tell: is told of the stages of building it.
        show: is shown how far a stage is, once all pictures are stored.
        watch: hears of the pictures; one that has heard of others already, where these are not all of the source.
        stored: called with rows that are in the index now.

    Raises:
        SearchError: the recall cannot be had from this engine, and nothing is stored; or an id stands for another file
            in the index, and rows before it are stored.
    """
    check_recall(index, recall)
    filled, watch = Filled(), watch or SourceWatch(prefix, index.info.kinds)
    for given in gathered(batches, prefix, index.info.fields):
        rows = replace(given, vectors=index.rounded(given.vectors))
        before = index.get(rows.ids)
        changed = []
        for row, record in enumerate(before):
            watch.note(rows.ids[row], rows.metadata[row])
            if moved and record is not None:
                watch.note_place(record.id, record.metadata)
            if record is None:
                filled.added += 1
            elif record.metadata != rows.metadata[row] or not np.array_equal(record.vector, rows.vectors[row]):
                if not moved:
                    _refuse_another_file(index, rows.ids[row], record.metadata, rows.metadata[row])
                filled.replaced += 1
            else:
                filled.unchanged += 1
                continue
            changed.append(row)
        index.add([rows.ids[row] for row in changed], rows.vectors[changed], [rows.metadata[row] for row in changed])
        stored(rows)
        if progress is not None:
            progress(len(rows))
    filled.gone = watch.gone(index, unread)
    if prune:
        index.delete(filled.gone)
    show("tidying up")
    index.flush()
    if isinstance(index, ApproximateIndex):
        index.keep_tuned(tell, recall, show)
    return filled


def gathered(batches: Iterable[Batch], prefix: str, fields: Sequence[str]) -> Iterator[Rows]:
    """The same rows, many at once, with all fields of the index."""
    waiting: list[Batch] = []
    count, since = 0, time.monotonic()
    for batch in batches:
        waiting.append(batch)
        count += len(batch.ids)
        if count >= ROWS_AT_ONCE or time.monotonic() - since > SECONDS_AT_ONCE:
            yield _joined(waiting, prefix, fields)
            waiting, count, since = [], 0, time.monotonic()
    if waiting:
        yield _joined(waiting, prefix, fields)


def _joined(parts: list[Batch], prefix: str, fields: Sequence[str]) -> Rows:
    ids = [prefix + name for part in parts for name in part.ids]
    metadata = [{field: row.get(field) for field in fields} for part in parts for row in part.metadata]
    return Rows(ids, np.concatenate([part.vectors for part in parts]), metadata)


def _refuse_another_file(index: Index, name: str, known: dict[str, object], new: dict[str, object]) -> None:
    if known.get("image") != new.get("image"):
        raise SearchError(
            f"the id {name!r} stands for {known.get('image')} already, and here for {new.get('image')}",
            where=index.folder,
            remedy="give the ids of this source a --prefix; or --moved, if it is the same picture in another place",
        )
