"""Training pictures and what marks say of them: which pairs, of which pictures, and what became of all other marks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bier.data.box import Box, read_box
from bier.data.manifest import UNDECIDED, Manifest
from bier.data.marks import Mark
from bier.data.references import LOCAL, short_name
from bier.errors import DataError
from bier.system.places import is_url

Indices = NDArray[np.int64]

NOT_HERE = "of pictures that are not in the source"
SEVERAL = "of pictures with several objects, and of none of them"
HELD_OUT = "of pictures that are not for training"
NOT_KEPT = "of uploads that were not kept"
ITSELF = "of a picture with itself"


@dataclass(frozen=True)
class Marked:
    """Training pictures, followed by those that came with marks: kept uploads, parts of pictures, and objects."""

    manifest: Manifest
    """n pictures. One that came with marks has the label of its matches, or a label of its own."""
    classed: NDArray[np.bool_]
    """(n,) which of them are known to belong to a class. Of the others nothing but their marks is known."""
    pairs: Indices
    """(p, 2) rows, the smaller first, each pair once."""
    same: NDArray[np.bool_]
    """(p,) whether the two were marked to be the same."""
    rows: Sequence[int]
    """(p,) where the marks stand in their file."""
    left_out: dict[str, int]
    """Marks that count for nothing, by the reason."""
    overruled: Sequence[tuple[int, int]]
    """Where marks stand that were contradicted later, and the later ones."""

    @property
    def brought(self) -> int:
        """Pictures that came with marks."""
        return int((self.manifest.split == UNDECIDED).sum())

    @property
    def brought_classed(self) -> int:
        """How many of them have got a class."""
        return int(self.classed[self.manifest.split == UNDECIDED].sum())

    def untold(self) -> NDArray[np.bool_]:
        """(p,) which pairs classes say nothing of: one of the two has none."""
        return np.asarray(~self.classed[self.pairs].all(axis=1))

    def fingerprint(self) -> str:
        """SHA-256 (hex) over pictures, labels and pairs."""
        digest = hashlib.sha256(self.manifest.fingerprint().encode())
        digest.update(json.dumps([self.pairs.tolist(), self.same.tolist(), self.classed.tolist()]).encode())
        return digest.hexdigest()


def join_marks(manifest: Manifest, marks: Sequence[Mark], uploads: Path | None, *, one_label: bool = True) -> Marked:
    """Find the marked pictures among those for training, and add kept uploads and parts of pictures.

    Of two marks of a pair the later one counts. A picture that came with marks gets the class of the pictures that it
    was marked right with, where these are of one class and no mark says otherwise.

    Args:
        manifest: all pictures of a source, with their splits.
        marks: as read.
        uploads: the folder of kept uploads, if there is one.
        one_label: whether pictures have one label each; else none is passed on.

    Raises:
        DataError: no mark is left.
    """
    training = manifest.only("train")
    finder = _Finder(manifest, training, uploads)
    left_out: Counter[str] = Counter()
    latest: dict[tuple[int, int], Mark] = {}
    overruled = []
    for mark in sorted(marks, key=lambda mark: (mark.time, mark.row)):
        try:
            example, hit = finder.example(mark), finder.known(mark.result)
            if example == hit:
                raise LookupError(ITSELF)
        except LookupError as error:
            left_out[error.args[0]] += 1
            continue
        pair = min(example, hit), max(example, hit)
        if pair in latest and latest[pair].same != mark.same:
            overruled.append((latest[pair].row, mark.row))
        latest[pair] = mark
    if not latest:
        raise _none_left(manifest, left_out)
    pairs = np.array(list(latest), dtype=np.int64)
    same = np.array([mark.same for mark in latest.values()], dtype=bool)
    rows = [mark.row for mark in latest.values()]
    labels, classed = _labels(training, finder.brought, pairs, same, one_label=one_label)
    whole = _extended(training, finder.brought, labels)
    return Marked(whole, classed, pairs, same, rows, dict(left_out), overruled)


@dataclass(frozen=True)
class _Brought:
    """A picture that came with marks."""

    image: str
    box: Box | None


class _Finder:
    """Rows of marked pictures: among those for training, or behind them."""

    def __init__(self, manifest: Manifest, training: Manifest, uploads: Path | None) -> None:
        self._manifest, self._training, self._uploads = manifest, training, uploads
        self._rows, self._elsewhere = _Names(training), _Names(manifest)
        self.brought: list[_Brought] = []
        self._places: dict[tuple[str, Box | None], int] = {}

    def example(self, mark: Mark) -> int:
        """The row of what was searched from; raises LookupError with the reason why there is none."""
        if mark.sha256:
            return self._add(self._kept(mark.sha256), mark.box)
        if mark.box is None:
            return self.known(mark.query)
        return self._part(_taken_apart(mark.query)[0], mark.box)

    def known(self, name: str) -> int:
        """The row of a picture of the index, or of an object in one; raises LookupError with the reason for none.

        An object is a training row of its own where the source has its box. Else it is a part of a training picture.
        """
        row = self._rows.find(name)
        if row is not None:
            return row
        if self._elsewhere.find(name) is not None:
            raise LookupError(HELD_OUT)
        picture, box = _taken_apart(name)
        if box is not None:
            return self._part(picture, box)
        raise LookupError(SEVERAL if self._rows.picture(name) is not None else NOT_HERE)

    def _part(self, picture: str, box: Box) -> int:
        """The row of a part of a training picture, which joins the others; raises LookupError."""
        row = self._rows.picture(picture)
        if row is None:
            raise LookupError(NOT_HERE if self._elsewhere.picture(picture) is None else HELD_OUT)
        return self._add(str(self._training.image[row]), box)

    def _kept(self, sha256: str) -> str:
        file = None if self._uploads is None else self._uploads / f"{sha256}.jpg"
        if file is None or not file.is_file():
            raise LookupError(NOT_KEPT)
        path = str(file.resolve())
        return f"{LOCAL}{path}" if is_url(self._manifest.root) else path

    def _add(self, image: str, box: Box | None) -> int:
        new = len(self._training) + len(self.brought)
        place = self._places.setdefault((image, box), new)
        if place == new:
            self.brought.append(_Brought(image, box))
        return place


class _Names:
    """Pictures by the ids that an index gives them, or by the end of a path that is one picture's alone.

    A row with a box also has the id of its object.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._names = [short_name(str(image)) for image in manifest.image]
        self._rows: dict[str, list[int]] = defaultdict(list)
        self._ends: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self._names):
            self._rows[name].append(row)
            self._ends[name.rpartition("/")[2]].append(row)
        self._boxes = manifest.bbox

    def find(self, name: str) -> int | None:
        """The row of that id; None if there is none, or several. Of a picture with objects, the whole one has it."""
        found = self._all(name)
        if not found and self._boxes is not None:
            picture, box = _taken_apart(name)
            found = [row for row in self._all(picture) if box is not None and tuple(self._boxes[row].tolist()) == box]
        elif len(found) > 1 and self._boxes is not None:
            found = [row for row in found if np.isnan(self._boxes[row]).any()]
        return found[0] if len(found) == 1 else None

    def picture(self, name: str) -> int | None:
        """A row of the picture of that id, which may have several; None if there is none, or several pictures."""
        found = self._all(name)
        return found[0] if len({self._names[row] for row in found}) == 1 else None

    def _all(self, name: str) -> list[int]:
        ends = self._ends.get(name.rpartition("/")[2], [])
        return self._rows.get(name) or [row for row in ends if self._fits(row, name)]

    def _fits(self, row: int, name: str) -> bool:
        """Whether one path ends with the other: the index may have been made of another folder, or have a prefix."""
        own = self._names[row]
        return own.endswith(f"/{name}") or name.endswith(f"/{own}")


def _taken_apart(name: str) -> tuple[str, Box | None]:
    """The picture that an object is in, and its box; the id itself, and none, of anything else."""
    picture, mark, text = name.rpartition("#")
    box = read_box(text) if mark else None
    return (name, None) if box is None else (picture, box)


def _labels(
    training: Manifest, brought: Sequence[_Brought], pairs: Indices, same: NDArray[np.bool_], *, one_label: bool
) -> tuple[list[str], NDArray[np.bool_]]:
    """Of the pictures that came with marks; and of all, whether they belong to a class."""
    right: dict[int, set[str]] = defaultdict(set)
    wrong: dict[int, set[str]] = defaultdict(set)
    for (hit, example), alike in zip(pairs.tolist(), same.tolist(), strict=True):  # those that were brought come last
        if hit < len(training) <= example:
            (right if alike else wrong)[example].add(str(training.label[hit]))
    labels = [f"unlabelled:{number}" for number in range(1, len(brought) + 1)]  # as if each were a class of its own
    classed = np.ones(len(training) + len(brought), dtype=bool)
    for place, row in enumerate(range(len(training), len(classed))):
        classed[row] = one_label and len(right[row]) == 1 and not right[row] & wrong[row]
        if classed[row]:
            [labels[place]] = right[row]
    return labels, classed


def _extended(training: Manifest, brought: Sequence[_Brought], labels: Sequence[str]) -> Manifest:
    """The training pictures, and behind them the others."""
    if not brought:
        return training
    count = len(brought)
    boxes = training.bbox
    if boxes is None and any(one.box for one in brought):
        boxes = np.full((len(training), 4), np.nan, dtype=np.float32)
    more = np.array([one.box or [np.nan] * 4 for one in brought], dtype=np.float32)
    names = dict(zip(training.label, training.name, strict=True)) if training.name is not None else {}
    return replace(
        training,
        image=_joined(training.image, [one.image for one in brought]),
        label=_joined(training.label, labels),
        split=_joined(training.split, [UNDECIDED] * count),
        row=np.concatenate([training.row, np.zeros(count, dtype=np.int64)]),
        group=None if training.group is None else _joined(training.group, [""] * count),
        bbox=None if boxes is None else np.concatenate([boxes, more]),
        name=None if training.name is None else _joined(training.name, [str(names.get(label, "")) for label in labels]),
        fields=(),
        copies=None if training.copies is None else _joined(training.copies, [""] * count),
    )


def _joined(column: NDArray[np.object_], more: Sequence[str]) -> NDArray[np.object_]:
    return np.concatenate([column, np.array(more, dtype=object)])


def _none_left(manifest: Manifest, left_out: Counter[str]) -> DataError:
    why = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    return DataError(
        f"none of the marks can be used: {why}",
        where=manifest.source,
        remedy="train on the pictures that the index was made of, and name the folder of kept uploads with --uploads",
    )
