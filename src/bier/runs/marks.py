"""Marks beside labels: named by a person, found among the pictures of a run, kept with it, and told."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bier.data import Manifest
from bier.data.datasets.annotations import SHOWN
from bier.data.marked import Marked, join_marks
from bier.data.marks import read_marks
from bier.data.several_labels import label_sets
from bier.errors import ConfigError, DataError
from bier.method.losses.relations import DIFFERENT, SAME, UNKNOWN
from bier.records.folder import RunFolder
from bier.records.provenance import MarkedBy, Provenance
from bier.system.files import storage_errors, write_atomically
from bier.training.job import Relations
from bier.training.marked import MarkedRelations, OfClasses

UPLOADS = "uploads"
"""Beside a file of marks, the folder where kept uploads are looked for."""
WIN = "--marks-win"


@dataclass(frozen=True)
class GivenMarks:
    """What a person names: marks, and where kept uploads are."""

    file: Path
    uploads: Path | None = None
    win: bool = False
    """Whether a mark counts where labels say otherwise; else that is an error."""

    @staticmethod
    def named(file: Path | None, uploads: Path | None, *, win: bool) -> GivenMarks | None:
        """As on the command line, where kept uploads are looked for beside the marks; none without a file.

        Raises:
            ConfigError: there is no such folder of uploads, or one is named without marks.
        """
        if file is None:
            if uploads is not None or win:
                raise ConfigError(f"--uploads and {WIN} are of marks", remedy="name their file with --marks")
            return None
        if uploads is not None and not uploads.is_dir():
            raise ConfigError("there is no such folder", where=uploads, remedy="name the folder of --keep-uploads")
        beside = file.parent / UPLOADS
        return GivenMarks(file, uploads or (beside if beside.is_dir() else None), win)

    @staticmethod
    def again(folder: Path) -> GivenMarks | None:
        """Those of a run that goes on, from the copy in its folder; none if it has none."""
        marks = Provenance.load(folder).marks
        if marks is None:
            return None
        return GivenMarks(RunFolder(folder).marks, None if marks.uploads is None else Path(marks.uploads), marks.win)

    def copy(self, to: Path) -> None:
        """Keep the file of marks; raises StorageError."""
        with storage_errors(self.file, "cannot be read"):
            content = self.file.read_bytes()
        if self.file != to:
            write_atomically(to, lambda file: file.write_bytes(content))


@dataclass(frozen=True)
class TakenMarks:
    """Marks as a run takes them."""

    given: GivenMarks
    marked: Marked
    against: NDArray[np.bool_]
    """(p,) which of the pairs labels contradict."""
    relations: Relations

    def apart(self) -> NDArray[np.int64]:
        """(q, 2) the pairs that must meet in batches: classes do not say the same of them."""
        return self.marked.pairs[self.marked.untold() | self.against]

    def record(self) -> MarkedBy:
        """What the run keeps of them."""
        given, marked = self.given, self.marked
        return MarkedBy(
            path=str(given.file.resolve()),
            file=hashlib.sha256(given.file.read_bytes()).hexdigest(),
            fingerprint=marked.fingerprint(),
            uploads=None if given.uploads is None else str(given.uploads.resolve()),
            win=given.win,
            right=int(marked.same.sum()),
            wrong=int((~marked.same).sum()),
            against_labels=int(self.against.sum()),
            brought=marked.brought,
            brought_classed=marked.brought_classed,
            left_out=marked.left_out,
        )

    def in_words(self) -> list[str]:
        """Lines for a person."""
        marked, right, against = self.marked, int(self.marked.same.sum()), int(self.against.sum())
        lines = [
            f"marks: {right:,} right and {len(marked.same) - right:,} wrong pairs, with {marked.brought:,} pictures "
            f"beside those of the source; {marked.brought_classed:,} of them get a class"
        ]
        if marked.left_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in marked.left_out.items())
            lines.append(f"marks that count for nothing: {reasons}")
        if marked.overruled:
            first = "; ".join(f"row {later} over row {earlier}" for earlier, later in marked.overruled[:SHOWN])
            more = ", ..." if len(marked.overruled) > SHOWN else ""
            lines.append(f"WARNING: pairs are marked right and wrong; the later mark counts: {first}{more}")
        if against:
            lines.append(f"WARNING: {against:,} marks contradict the labels, and count ({WIN})")
        return lines


def take_marks(given: GivenMarks, manifest: Manifest, separator: str | None) -> TakenMarks:
    """The training pictures of a manifest with the marks on them.

    Args:
        given: the file of marks, and where kept uploads are.
        manifest: all pictures of the source, with their splits.
        separator: what stands between the labels of a picture; none: each has one.

    Raises:
        DataError: the file cannot be used, no mark is left, or labels contradict marks that are not to win.
    """
    marked = join_marks(manifest, read_marks(given.file), given.uploads, one_label=separator is None)
    whole = marked.manifest
    base: Relations = OfClasses(whole.codes()) if separator is None else label_sets(whole, separator)
    against = _against_labels(marked, base)
    if against.any() and not given.win:
        raise _contradictions(marked, against, given.file)
    return TakenMarks(given, marked, against, MarkedRelations(base, marked.classed, marked.pairs, marked.same))


def refuse_others(before: MarkedBy | None, taken: TakenMarks | None) -> None:
    """Raise DataError where a run that goes on would take other marks, or uploads, than it began with."""
    if before is not None and taken is not None and before.fingerprint != taken.marked.fingerprint():
        raise DataError(
            "the marks or kept uploads are not those that this run started with",
            where=before.uploads or before.path,
            remedy="restore them, or start a new run",
        )


def _against_labels(marked: Marked, base: Relations) -> NDArray[np.bool_]:
    labelled = np.full(len(marked.pairs), UNKNOWN)
    for pair in np.flatnonzero(~marked.untold()):
        labelled[pair] = base.among(marked.pairs[pair])[0, 1]
    return np.asarray(labelled == np.where(marked.same, DIFFERENT, SAME))


def _contradictions(marked: Marked, against: NDArray[np.bool_], file: Path) -> DataError:
    found = sorted(np.flatnonzero(against).tolist(), key=lambda pair: marked.rows[pair])
    lines = [f"\n  {_contradiction(marked, pair)}" for pair in found[:SHOWN]]
    more = f"\n  and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return DataError(
        f"{len(found):,} mark{'s contradict' if len(found) > 1 else ' contradicts'} the labels:{''.join(lines)}{more}",
        where=file,
        remedy=f"correct the labels, remove these rows, or let the marks count for these pairs with {WIN}",
    )


def _contradiction(marked: Marked, pair: int) -> str:
    manifest, rows = marked.manifest, marked.pairs[pair].tolist()
    one, other = (str(manifest.image[row]) for row in rows)
    labels = " and ".join(dict.fromkeys(repr(str(manifest.label[row])) for row in rows))
    verdict = "right" if marked.same[pair] else "wrong"
    return f"row {marked.rows[pair]}: {one} and {other} are marked {verdict}, and labelled {labels}"
