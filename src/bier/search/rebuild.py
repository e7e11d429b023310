"""Another model for an index: its pictures are embedded anew beside it, checked, and take its place at once.

Searches go on meanwhile, and so do writers; what they change is caught up with. A kill at any moment leaves the index
as it was, and the next call goes on; or it leaves the index as it will be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bier.errors import SearchError, quoted
from bier.search.approximate import ApproximateIndex
from bier.search.base import Index, IndexInfo
from bier.search.check import check_index
from bier.search.embedded_anew import EmbeddedAnew, Marks
from bier.search.first_hits import FirstHits, compare
from bier.search.folder import create_index, open_generation, open_index
from bier.search.generations import Generations, read_generations, write_generations
from bier.search.leftovers import MARKS, give_up, tidy
from bier.search.queries import precision_of
from bier.search.stages import Show, Tell, silent, unseen
from bier.search.writers import index_errors, only_writer
from bier.system.locks import release, try_lock
from bier.vectors.encoder import PictureEncoder

FEW = 1000
"""Changed pictures that are caught up with while other writers wait."""
MOST_UNREAD = 0.25
"""Share of pictures that cannot be read from which it is not them: their folder is not there."""


@dataclass(frozen=True)
class Rebuilt:
    """An index after its rebuild."""

    pictures: int
    unread: list[str]
    """Ids of pictures that could not be read. The index no longer has them."""
    first_hits: FirstHits | None
    """Recall@1 of both generations; None where no label occurs twice."""


def rebuild_index(
    path: Path | str,
    encoder: PictureEncoder,
    model_path: str | None = None,
    *,
    failed: Callable[[str, str], object] = lambda image, what: None,
    progress: Callable[[int], object] = lambda count: None,
    tell: Tell = silent,
    show: Show = unseen,
    workers: int = 0,
) -> Rebuilt | None:
    """Embed an index's pictures with another model, and let the result take its place. Ids and fields stay.

    Called again after an interruption, it goes on. The generation before is kept, and the one before that is removed.

    Args:
        path: the index's folder.
        encoder: the new model.
        model_path: where it lies.
        failed: hears of each picture that cannot be read, and why.
        progress: called with the number of pictures that have been embedded since the last call.
        tell: is told of each stage after that.
        show: is shown how far it is.
        workers: processes that decode; 0 decodes in this one.

    Returns:
        what was done; None if the index is of this model already.

    Raises:
        SearchError: another process rebuilds the index, its engine cannot, too many pictures cannot be read, or the
            new generation is damaged. The index stays as it was.
    """
    root = Path(path).resolve()
    with _alone(root) as generations:
        tidy(root, generations)
        with open_index(root) as old:
            if old.info.model == encoder.fingerprint:
                give_up(root, generations.next)
                return None
            _refuse_engine(old)
            info = replace(
                old.info,
                model=encoder.fingerprint,
                sizes=encoder.sizes,
                scales=encoder.scales,
                model_path=model_path,
                precision=precision_of(encoder),
            )
            with (
                _begun(root, generations, info) as new,
                closing(Marks(root / f"{generations.next}{MARKS}")) as marks,
            ):
                work = EmbeddedAnew(old, new, marks, encoder, failed, progress, workers)
                rebuilt = _filled(work, tell, show, lambda: _switch(root, generations))
        tidy(root, read_generations(root))
    return rebuilt


def go_back(path: Path | str) -> Index:
    """Let the generation before take its place again; gives the index, open.

    What was added since the rebuild is not in it. The next call returns to the newer one.

    Raises:
        SearchError: there is no generation before, it is damaged, or another process rebuilds the index.
    """
    root = Path(path).resolve()
    with _alone(root) as generations:
        if generations.before is None:
            raise SearchError(
                "has no generation before",
                where=root,
                remedy=f"one is kept by: bier index rebuild {quoted(root)} --model NEW",
            )
        earlier = open_generation(root, generations, generations.before)
        with only_writer(root / generations.current):
            there = replace(generations, current=generations.before, before=generations.current)
            write_generations(root, there)
        tidy(root, there)
        return earlier


@contextmanager
def _alone(root: Path) -> Iterator[Generations]:
    """No other process rebuilds the index; gives its generations."""
    read_generations(root)  # no file is made where there is no index
    with index_errors(root):
        lock = try_lock(root / "rebuild.lock", os.O_RDWR | os.O_CREAT)
    if lock is None:
        raise SearchError(
            "is being rebuilt by another process", where=root, remedy="wait until that has ended, or end it"
        )
    try:
        yield read_generations(root)
    finally:
        release(lock)


def _refuse_engine(index: Index) -> None:
    if not index.files:
        raise SearchError(
            f"an index of the engine {index.info.engine} cannot be rebuilt in place",
            where=index.folder,
            remedy="make a new index of the same pictures with the new model: bier index SOURCE -o NEW --model RUN",
        )


def _begun(root: Path, generations: Generations, info: IndexInfo) -> Index:
    """The next generation: what an interrupted rebuild has left of it, or else a new one."""
    name = generations.next
    try:
        unfinished = open_generation(root, generations, name)
        if unfinished.info == info:
            return unfinished
        unfinished.close()
    except SearchError:  # there is none, or it is not whole
        pass
    give_up(root, name)
    return create_index(root / name, info)


def _read_through(new: Index, show: Show) -> None:
    done, total = 0, new.count()

    def advance(count: int) -> None:
        nonlocal done
        done += count
        show("reading it through", done, total)

    check_index(new, advance)


def _filled(work: EmbeddedAnew, tell: Tell, show: Show, switch: Callable[[], None]) -> Rebuilt:
    old, new = work.old, work.new
    while work.catch_up() > FEW:
        pass
    _refuse_many_unread(work)
    show("tidying up")
    new.flush()
    if isinstance(old, ApproximateIndex) and isinstance(new, ApproximateIndex):
        known = old.approximation
        new.keep_tuned(tell, None if known is None else known.wanted, show)
    tell("reading it through")
    _read_through(new, show)
    tell("comparing both")
    show("comparing both")
    first_hits = compare(old, new, work.ids)
    with only_writer(old.folder):
        work.catch_up()
        _refuse_many_unread(work)
        _check_count(work)
        switch()
    return Rebuilt(new.count(), sorted(work.unread), first_hits)


def _switch(root: Path, generations: Generations) -> None:
    write_generations(root, replace(generations, current=generations.next, before=generations.current))


def _refuse_many_unread(work: EmbeddedAnew) -> None:
    count, unread = work.old.count(), sorted(work.unread)
    if len(unread) > MOST_UNREAD * count:
        raise SearchError(
            f"{len(unread):,} of {count:,} pictures cannot be read, such as {unread[0]}; the index stays as it was",
            where=work.old.folder,
            remedy="put them back and repeat the command, which goes on; or remove them from the index",
        )


def _check_count(work: EmbeddedAnew) -> None:
    expected, found = work.old.count() - len(work.unread), work.new.count()
    if found != expected:
        raise SearchError(
            f"holds {found:,} pictures, and {expected:,} are expected; the index stays as it was",
            where=work.new.folder,
            remedy="remove this folder and repeat the command",
        )
