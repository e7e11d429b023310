"""One table for every source of pictures: what each picture is, and which side of the experiment it is on.

A folder, a CSV, a Parquet file and each benchmark become a `Manifest`; nothing downstream knows where it came from.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bier.data.columns import Column
from bier.data.label_cells import parts
from bier.data.passed_over import in_words
from bier.data.references import TAR, absolute, is_reference, parse
from bier.errors import DataError
from bier.system.files import write_atomically
from bier.system.places import as_path, is_url, opened, path_of

Split = Literal["train", "val", "test", "query", "gallery"]
SPLITS: tuple[Split, ...] = get_args(Split)
SPLIT_NAMES: dict[str, Split] = {
    **{split: split for split in SPLITS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}
"""Every spelling of a split that a source may use, in lower case."""

UNDECIDED = ""
"""The split of a row whose source names none; `split_by_class` decides it."""

Protocol = Literal["self", "query-gallery", "vehicleid-draws", "vehicleid-leave-one-out"]

_FORMAT = "bier-manifest-1"
_DIGITS = re.compile("([0-9]+)")


@dataclass(frozen=True, eq=False)
class Manifest:
    """A table of ``n`` pictures; columns are arrays of equal length."""

    root: Path
    """Image paths are relative to it, or absolute."""
    image: NDArray[np.object_]
    """Paths, or references to pictures inside other files, as `bier.data.references` makes them."""
    label: NDArray[np.object_]
    """Class names or ids as the source writes them: ``001`` stays ``001``."""
    split: NDArray[np.object_]
    row: NDArray[np.int64]
    """Line of a text file (1 is the first line), record of a binary one, or position + 1 in a folder."""
    source: str
    """What messages call the source, such as ``cub100/labels.csv``."""
    group: NDArray[np.object_] | None = None
    """Something coarser than the label, such as a super-class."""
    bbox: NDArray[np.float32] | None = None
    """(n, 4): x, y of the upper left corner, width, height in pixels; NaN where a picture has none."""
    name: NDArray[np.object_] | None = None
    """What a person calls the class, where the source says so beside the label."""
    protocol: Protocol = "self"
    """How the pictures that are not for training are searched."""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """Files of the source that are not among the pictures: how many of each suffix."""
    numbered: bool = True
    """Whether a person finds a picture by its row's number; in a folder only by its path."""
    notes: tuple[str, ...] = ()
    """What else a person should know about how the source was read."""
    fields: tuple[Column, ...] = ()
    """Further columns of a table that was read for an index; neither saved nor part of the fingerprint."""
    copies: NDArray[np.object_] | None = None
    """Files that are read in the place of pictures (see `bier.data.prepared`), empty where there is none; likewise."""
    untold: frozenset[str] = frozenset()
    """Labels that pictures for training are not told of, where pictures have several (`bier.data.held_labels`)."""

    def __post_init__(self) -> None:
        for column in (self.label, self.split, self.row, self.group, self.bbox, self.name, self.copies):
            assert column is None or len(column) == len(self.image)

    @classmethod
    def of(
        cls,
        root: Path,
        source: str,
        *,
        image: Sequence[str],
        label: Sequence[str],
        split: Sequence[str] | None = None,
        row: Sequence[int] | None = None,
        group: Sequence[str] | None = None,
        bbox: ArrayLike | None = None,
        name: Sequence[str] | None = None,
        protocol: Protocol = "self",
        passed_over: Mapping[str, int] | None = None,
        numbered: bool = True,
        notes: Sequence[str] = (),
        fields: Sequence[Column] = (),
    ) -> Manifest:
        """A manifest from plain sequences; no ``split`` leaves it undecided, no ``row`` counts from 1."""
        count = len(image)
        return cls(
            root=root,
            image=_objects(image),
            label=_objects(label),
            split=_objects([UNDECIDED] * count if split is None else split),
            row=np.asarray(range(1, count + 1) if row is None else row, dtype=np.int64),
            source=source,
            group=None if group is None else _objects(group),
            bbox=None if bbox is None else np.asarray(bbox, dtype=np.float32).reshape(count, 4),
            name=None if name is None else _objects(name),
            protocol=protocol,
            passed_over=passed_over or {},
            numbered=numbered,
            notes=tuple(notes),
            fields=tuple(fields),
        )

    def __len__(self) -> int:
        return len(self.image)

    def __repr__(self) -> str:
        sides = ", ".join(f"{split} {int((self.split == split).sum()):,}" for split in sorted(set(self.split)))
        return f"Manifest({self.source!r}, {len(self):,} images: {sides})"

    def classes(self) -> list[str]:
        """The labels that occur, once each, in natural order (numbers numerically)."""
        return sorted(set(self.label), key=natural)

    def codes(self) -> NDArray[np.int64]:
        """(n,) index of each row's label in `classes`."""
        index = {label: code for code, label in enumerate(self.classes())}
        return np.fromiter((index[label] for label in self.label), dtype=np.int64, count=len(self))

    def take(self, rows: NDArray[Any]) -> Manifest:
        """The rows at these positions (or under this boolean mask), in this order."""
        return replace(
            self,
            image=self.image[rows],
            label=self.label[rows],
            split=self.split[rows],
            row=self.row[rows],
            group=None if self.group is None else self.group[rows],
            bbox=None if self.bbox is None else self.bbox[rows],
            name=None if self.name is None else self.name[rows],
            fields=tuple(column.take(rows) for column in self.fields),
            copies=None if self.copies is None else self.copies[rows],
        )

    def only(self, *splits: Split) -> Manifest:
        """The rows of these splits, in the order of the table; none of them is an empty manifest."""
        return self.take(np.flatnonzero(np.isin(self.split.astype(str), splits)))

    def title(self, index: int) -> str:
        """What a person calls the class of a picture: its name if the source has one, else its label."""
        return str((self.name is not None and self.name[index]) or self.label[index])

    def picture(self, index: int) -> dict[str, Any]:
        """What a report needs to show a row, ready for JSON: ``image``, ``label``; ``name`` and ``bbox`` if known."""
        picture: dict[str, Any] = {"image": self.reference(index), "label": str(self.label[index])}
        if self.name is not None:
            picture["name"] = str(self.name[index])
        if self.bbox is not None and np.isfinite(self.bbox[index]).all():
            picture["bbox"] = self.bbox[index].tolist()
        return picture

    def path(self, index: int) -> Path:
        """Where the picture at this position lies; `read_image` also opens one that is inside another file."""
        image = str(self.image[index])
        if is_reference(image) or is_url(self.root):
            return as_path(self.reference(index))
        return self.root / image

    def reference(self, index: int) -> str:
        """Where the picture at this position is, from any folder: what `bier.data.images.read_picture` opens."""
        return absolute(str(self.image[index]), self.root)

    def remarks(self) -> list[str]:
        """Lines for a person: which files were passed over, and the notes."""
        files = [f"passed over: {in_words(self.passed_over)}"] if self.passed_over else []
        return [*files, *self.notes]

    def fingerprint(self) -> str:
        """SHA-256 (hex) over paths, labels, splits and boxes, in order; not over root nor the files' contents."""
        digest = hashlib.sha256(json.dumps([list(self.image), list(self.label), list(self.split)]).encode())
        if self.bbox is not None:
            # One bit pattern for every NaN.
            digest.update(np.where(np.isnan(self.bbox), np.float32(-1), self.bbox).astype("<f4").tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write the table as Parquet; the file is complete or untouched.

        Raises:
            StorageError: the file cannot be written.
        """
        from pyarrow import parquet

        table = _to_arrow(self)
        write_atomically(Path(path), lambda file: parquet.write_table(table, file))

    @classmethod
    def load(cls, path: Path | str) -> Manifest:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged, or no manifest.
        """
        import pyarrow as arrow
        from pyarrow import parquet

        try:
            table = parquet.read_table(opened(path))
            about = json.loads((table.schema.metadata or {})[b"bier"])
            if about["format"] != _FORMAT:
                raise ValueError(about["format"])
            columns = {name: table.column(name).to_pylist() for name in table.column_names}
            return cls.of(path_of(about["root"]), about["source"], protocol=about["protocol"], **columns)
        except (OSError, arrow.ArrowException, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"no manifest can be read from this file: {error or type(error).__name__}",
                where=path,
                remedy="give a file that Manifest.save wrote; other tables are opened with open_source",
            ) from error


def split_by_class(manifest: Manifest, share: float) -> Manifest:
    """Decide an undecided split: the last ``share`` of the classes, in natural order, are for testing.

    A share of 0 leaves everything for training and 1 everything for testing; any other keeps at least two classes on
    each side, since a search among pictures of one class cannot go wrong.

    Raises:
        DataError: there are too few classes for two sides.
    """
    classes = manifest.classes()
    held = share_of(len(classes), share)
    if 0 < share < 1:
        if len(classes) < 4:
            raise DataError(
                f"{len(classes)} classes are too few to train on some and test on others",
                where=manifest.source,
                remedy="add classes (four or more), say which rows are for what in a column 'split', "
                "or set data.test_classes=0 to train on all of them",
            )
        held = min(max(held, 2), len(classes) - 2)
    test = set(classes[len(classes) - held :])
    return replace(manifest, split=_objects(["test" if label in test else "train" for label in manifest.label]))


def hold_out(manifest: Manifest, share: float, seed: int, separator: str | None = None) -> Manifest:
    """Move a share of the training classes to the split ``val``, unless the manifest has one already.

    The classes are drawn by a hash of seed and label, so neither the order of rows nor a library's version matters.
    Half a class rounds up, at least two are moved and two stay; classes with one picture are not drawn, since they have
    no positive to find. With a separator a class is a set of labels, which other sets may share.

    Args:
        manifest: with rows of split ``train``.
        share: of the training classes, 0 to 1; 0 moves none.
        seed: another seed, other classes.
        separator: what stands between the labels of a picture; none: each has one.

    Raises:
        DataError: there are too few training classes.
    """
    if share == 0 or (manifest.split == "val").any():
        return manifest
    train = manifest.only("train")
    labels, counts = np.unique(train.label.astype(str), return_counts=True)
    eligible = [str(label) for label in labels[_shared(labels, counts, separator)]]
    if len(labels) < 4 or len(eligible) < 2:
        raise DataError(
            f"{len(labels)} training classes, {len(eligible)} with two images or more: too few to hold some out",
            where=manifest.source,
            remedy="add classes, or set data.validation_classes=0 to train on all of them and keep the last epoch",
        )
    held = min(max(share_of(len(labels), share), 2), len(labels) - 2)
    return with_validation(manifest, set(in_drawn_order(eligible, seed)[:held]))


def with_validation(manifest: Manifest, classes: Set[str]) -> Manifest:
    """The manifest with training pictures of these classes moved to the split ``val``."""
    moved = [
        "val" if split == "train" and label in classes else split
        for split, label in zip(manifest.split, manifest.label, strict=True)
    ]
    return replace(manifest, split=_objects(moved))


def _shared(labels: NDArray[Any], counts: NDArray[Any], separator: str | None) -> NDArray[np.bool_]:
    """Of labels (c,) that so many pictures have: whether a picture shares it with another."""
    if separator is None:
        return np.asarray(counts > 1)
    pictures: Counter[str] = Counter()
    for cell, count in zip(labels, counts.tolist(), strict=True):
        pictures.update(dict.fromkeys(parts(cell, separator), count))
    return np.array([any(pictures[label] > 1 for label in parts(cell, separator)) for cell in labels])


def with_distractors(
    manifest: Manifest, count: int, seed: int, *, without: NDArray[np.bool_] | None = None
) -> Manifest:
    """The split ``val`` and pictures of ``train`` until there are ``count``, in the order of the table.

    Few classes alone are easy to search: what the rest of the pictures are drawn into goes unseen. Which pictures join
    is decided by a hash of seed and file, as for classes in :func:`hold_out`. The name of a picture in a tar file
    counts as its file, wherever it stands in there.

    Args:
        manifest: with rows of splits ``train`` and ``val``.
        count: of all pictures; those of ``val`` are never fewer, those of ``train`` may not suffice.
        seed: another seed, other pictures.
        without: (n,) pictures of ``train`` that do not join.
    """
    missing = max(0, count - int((manifest.split == "val").sum()))
    names = np.array([_file_name(image) for image in manifest.image], dtype=object)
    eligible = manifest.split == "train"
    if without is not None:
        eligible &= ~without
    drawn = set(in_drawn_order(names[eligible], seed)[:missing])
    joins = np.array([name in drawn for name in names], dtype=bool) & eligible
    return manifest.take((manifest.split == "val") | joins)


def _file_name(image: str) -> str:
    place = parse(image)
    return place.name if place is not None and place.kind == TAR else image


def natural(text: str) -> tuple[Any, ...]:
    """A key that sorts ``2`` before ``10`` and ``img9`` before ``img10``; equal numbers by their spelling."""
    begin, *parts = _DIGITS.split(text)
    key: list[Any] = [begin]
    for number, after in zip(parts[::2], parts[1::2], strict=True):
        # A number compares by length, then digits: int() refuses very long ones.
        digits = number.lstrip("0")
        key += (len(digits), digits, after)
    # Text that starts with a number has an empty part first, and so comes before words.
    return (*key, 0, text)


def in_drawn_order(names: Iterable[str], seed: int) -> list[str]:
    """The names by their hashes of seed and name: neither their order nor a library's version matters."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def share_of(count: int, share: float) -> int:
    """So many of them are a share, half a one rounded up."""
    return math.floor(round(count * share, 9) + 0.5)


def _objects(values: Sequence[str]) -> NDArray[np.object_]:
    return np.array(list(values), dtype=object)


def _to_arrow(manifest: Manifest) -> Any:
    import pyarrow as arrow

    text = {name: getattr(manifest, name) for name in ("image", "label", "split", "group", "name")}
    columns = {name: arrow.array(column, arrow.string()) for name, column in text.items() if column is not None}
    columns["row"] = arrow.array(manifest.row)
    if manifest.bbox is not None:
        columns["bbox"] = arrow.FixedSizeListArray.from_arrays(arrow.array(manifest.bbox.ravel()), 4)
    about = {
        "format": _FORMAT,
        "root": str(manifest.root.absolute()),
        "source": manifest.source,
        "protocol": manifest.protocol,
    }
    return arrow.table(columns).replace_schema_metadata({"bier": json.dumps(about)})
