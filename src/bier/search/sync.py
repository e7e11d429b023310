"""An index brought in step with its source at once: what is new, changed or gone, and nothing embedded twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from bier.search.base import Index, Rows
from bier.search.fill import fill
from bier.search.gone import SourceWatch
from bier.search.seen_files import SeenFiles, Watched, state
from bier.search.stages import Show, Tell, silent, unseen
from bier.vectors.catalogue import embedded
from bier.vectors.encoder import PictureEncoder
from bier.vectors.sources import Entry, Source

AT_ONCE = 2048
"""Pictures that are looked up at once."""


@dataclass
class Synced:
    """What became of the pictures."""

    added: int = 0
    replaced: int = 0
    """Their files have changed."""
    described: int = 0
    """Their labels or fields have changed, and their files have not."""
    unchanged: int = 0
    gone: list[str] = field(default_factory=list)
    """Ids that were removed."""


def sync(
    index: Index,
    encoder: PictureEncoder,
    source: Source,
    *,
    prefix: str = "",
    failed: Callable[[str, str], object] = lambda image, what: None,
    progress: Callable[[int], object] = lambda count: None,
    tell: Tell = silent,
    show: Show = unseen,
    workers: int = 0,
) -> Synced:
    """Add pictures that are new, embed changed files again, take over other labels and fields, remove what has gone.

    A file counts as changed if its size or the time of its last change is another. It may be repeated after an
    interruption. What has gone is decided as by :class:`bier.search.gone.SourceWatch`.

    Args:
        index: of the encoder's model.
        encoder: embeds what is new or changed.
        source: all pictures.
        prefix: put before every id.
        failed: hears of each picture that cannot be read, and why.
        progress: called with the number of pictures that are done since the last call.
        tell: is told of the stages of building an approximate index.
        show: is shown how far a stage is, once all pictures are stored.
        workers: processes that decode; 0 decodes in this one.

    Raises:
        SearchError: an id stands for another file in the index; rows before it are stored.
        StorageError: the disk is full.
    """
    unread: list[str] = []

    def not_read(image: str, what: str) -> None:
        unread.append(image)
        failed(image, what)

    seen, synced = SeenFiles(index.folder), Synced()
    changed = _Changed(source, prefix, index, seen, synced, progress)
    filled = fill(
        index,
        embedded(encoder, changed, not_read, workers=workers),
        progress,
        prefix=prefix,
        prune=True,
        unread=unread,
        tell=tell,
        show=show,
        watch=changed.watch,
        stored=lambda rows: changed.stored(seen, rows),
    )
    synced.added, synced.replaced, synced.gone = filled.added, filled.replaced, filled.gone
    synced.unchanged += filled.unchanged
    return synced


class _Changed(Watched):
    """The pictures of a source that have to be embedded; what is known of the others is written at once."""

    def __init__(
        self,
        source: Source,
        prefix: str,
        index: Index,
        seen: SeenFiles,
        synced: Synced,
        progress: Callable[[int], object],
    ) -> None:
        super().__init__(source, prefix)
        self.watch = SourceWatch(prefix, index.info.kinds)
        self._index, self._seen, self._synced, self._progress = index, seen, synced, progress

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]:
        entries = self.source.pictures(start)
        while some := list(islice(entries, AT_ONCE)):
            yield from self._to_embed(some)

    def _to_embed(self, entries: list[Entry]) -> Iterator[Entry]:
        found = self._index.get([self.prefix + entry.id for entry in entries])
        known = [(entry, row) for entry, row in zip(entries, found, strict=True) if row is not None]
        rows = Rows(
            [row.id for _, row in known],
            np.array([row.vector for _, row in known], np.float32).reshape(-1, self._index.info.dimensions),
            [row.metadata for _, row in known],
        )
        same_file = self._seen.unchanged(rows, [state(entry) for entry, _ in known])
        kept = [
            place
            for place, ((entry, row), same) in enumerate(zip(known, same_file, strict=True))
            if same and row.metadata.get("image") == entry.image
        ]
        self._describe([known[place][0] for place in kept], rows.take(kept))
        names = {rows.ids[place] for place in kept}
        for entry in entries:
            if self.prefix + entry.id not in names:
                self.note(entry)
                yield entry

    def _describe(self, entries: list[Entry], rows: Rows) -> None:
        """Write labels and fields of pictures whose files are what they were."""
        told = [self._metadata(entry) for entry in entries]
        for name, metadata in zip(rows.ids, told, strict=True):
            self.watch.note(name, metadata)
        others = [place for place in range(len(rows)) if rows.metadata[place] != told[place]]
        if others:
            different = rows.take(others)
            self._index.add(different.ids, different.vectors, [told[place] for place in others])
        self._synced.described += len(others)
        self._synced.unchanged += len(rows) - len(others)
        self._progress(len(rows))

    def _metadata(self, entry: Entry) -> dict[str, Any]:
        told = {"image": entry.image, "label": entry.label, **entry.fields}
        return {name: told.get(name) for name in self._index.info.fields}
