"""All faults of a manifest at once: `check` finds them, `describe` says them in lines of text."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bier.data.datasets import open_faulty
from bier.data.datasets.layout import looks
from bier.data.manifest import UNDECIDED, Manifest, natural
from bier.data.references import clipped, is_reference, located, picture_bytes, short_name
from bier.errors import DataError, ImageError
from bier.settings.schema import DataConfig
from bier.system import kept
from bier.system.places import is_url

if TYPE_CHECKING:
    from bier.data.looks import Look

KINDS = {
    "faulty": "faults of the source itself",
    "empty": "no pictures",
    "single class": "one class only",
    "missing file": "missing files",
    "unreadable image": "unreadable images",
    "box outside": "boxes outside of their image",
    "class on both sides": "classes on both sides of the split",
    "duplicate across splits": "exact duplicates across splits",
    "duplicate across classes": "exact duplicates with different labels",
    "near-copy across splits": "near-copies across splits",
    "near-copy across classes": "near-copies with different labels",
    "class of one image": "training classes with one image",
    "query without positive": "queries without a positive",
    "duplicate": "exact duplicates within a split and class",
    "near-copy": "near-copies within a split and class",
    "names alike": "classes whose names look the same",
    "gallery only": "test classes with one image, which no query asks for",
    "blank": "pictures that show nothing",
    "copy at another size": "classes with the same pictures at two sizes",
}
"""Every kind of fault, in the order in which they are told, with its heading."""

NOTES = frozenset({"duplicate", "near-copy", "names alike", "gallery only", "blank", "copy at another size"})
"""Kinds that are worth knowing and no reason to stop."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one row, or with the whole manifest."""

    kind: str
    """A key of `KINDS`."""
    row: int | None
    """The row's number in the source; none for the whole manifest, and in a folder, whose rows have no numbers."""
    image: str | None
    message: str

    @property
    def note(self) -> bool:
        """Worth knowing, but no reason to stop."""
        return self.kind in NOTES


def check_source(
    source: str | Path, config: DataConfig | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Manifest, list[Fault]]:
    """What can be read of a source, and every fault of it: of its rows, its splits and its pictures.

    Args:
        source: as for `bier.data.open_source`.
        config: likewise.
        progress: as for `check`.

    Raises:
        DataError: there is no such source, or it is malformed as a whole.
    """
    manifest, wrong = open_faulty(source, config)
    return manifest, [
        *(Fault("faulty", row, None, message) for row, message in wrong),
        *check(manifest, progress=progress),
    ]


def check(
    manifest: Manifest, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> list[Fault]:
    """Every fault and note of the manifest; each picture is read and decoded in full.

    Args:
        manifest: with its splits decided.
        workers: threads that read; none given: one a core.
        progress: called with the number of pictures read and of all, after each.

    Returns:
        Faults in the order of `KINDS`, then of rows; an empty list is a clean manifest.
    """
    if not len(manifest):
        return [Fault("empty", None, None, f"{manifest.source} holds no pictures")]
    faults = [*_classes(manifest), *_positives(manifest), *_files(manifest, workers, progress)]
    order = {kind: position for position, kind in enumerate(KINDS)}
    return sorted(faults, key=lambda fault: (order[fault.kind], fault.row or 0, natural(fault.image or "")))


def describe_faults(faults: Iterable[Fault]) -> list[str]:
    """Lines of text: a heading with the count for each kind, then one indented line for each fault.

    Notes are no faults: where there is nothing else, the first line says that there are none.
    """
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        kinds[fault.kind].append(fault)
    lines = [] if any(not found[0].note for found in kinds.values()) else ["no faults"]
    for kind, found in kinds.items():
        lines.append(f"{'note: ' if found[0].note else ''}{KINDS[kind]}: {len(found):,}")
        for fault in found:
            where = "" if fault.row is None else f"row {fault.row}: "
            image = "" if fault.image is None else f"{fault.image}: "
            lines.append(f"  {where}{image}{fault.message}")
    return lines


def _fault(manifest: Manifest, index: int, kind: str, message: str) -> Fault:
    row = int(manifest.row[index]) if manifest.numbered else None
    return Fault(kind, row, _name(manifest, index), message)


def _place(manifest: Manifest, index: int) -> str:
    """Where a person finds a picture: its row, or in a folder its path."""
    return f"row {manifest.row[index]}" if manifest.numbered else _name(manifest, index)


def _name(manifest: Manifest, index: int) -> str:
    """What a person calls the picture."""
    return clipped(short_name(str(manifest.image[index])))


def _classes(manifest: Manifest) -> Iterator[Fault]:
    if len(set(manifest.label)) == 1:
        yield Fault("single class", None, None, f"every picture is of class {manifest.label[0]!r}")
    yield from _alike(manifest)
    first: dict[tuple[str, str], int] = {}
    for index, (label, split) in enumerate(zip(manifest.label, manifest.split, strict=True)):
        first.setdefault((label, _side(split)), index)
    sides: dict[str, list[str]] = defaultdict(list)
    for label, side in first:
        sides[label].append(side)
    for label in sorted(sides, key=natural):
        if len(sides[label]) > 1:
            rows = " and ".join(f"{side} ({_place(manifest, first[label, side])})" for side in sorted(sides[label]))
            index = max(first[label, side] for side in sides[label])
            yield _fault(manifest, index, "class on both sides", f"class {label!r} is in {rows}")


def _alike(manifest: Manifest) -> Iterator[Fault]:
    """Classes that stay two, though a person may have meant one: ``boots`` and ``Boots``."""
    first: dict[str, str] = {}
    for label in manifest.classes():
        other = first.setdefault(looks(label), label)
        if other != label:
            index = int(np.flatnonzero(manifest.label == label)[0])
            yield _fault(manifest, index, "names alike", f"class {label!r} looks like class {other!r}")


def _side(split: str) -> str:
    """Query and gallery are one side: they share their classes by design."""
    return "query/gallery" if split in ("query", "gallery") else split


def _positives(manifest: Manifest) -> Iterator[Fault]:
    counts = Counter(zip(manifest.label, manifest.split, strict=True))
    for index, (label, split) in enumerate(zip(manifest.label, manifest.split, strict=True)):
        if split == "query" and not counts[label, "gallery"]:
            yield _fault(manifest, index, "query without positive", f"class {label!r} is not in the gallery")
        if counts[label, split] > 1 or split in ("query", "gallery"):
            continue
        if split in ("train", UNDECIDED):
            yield _fault(manifest, index, "class of one image", f"class {label!r} has one image, and so no pair")
        elif split == "test" and manifest.protocol == "vehicleid-draws":
            yield _fault(manifest, index, "gallery only", f"class {label!r} has one image, always in the gallery")
        else:
            yield _fault(manifest, index, "query without positive", f"class {label!r} has one image in {split}")


def _files(manifest: Manifest, workers: int | None, progress: Callable[[int, int], None] | None) -> Iterator[Fault]:
    same: dict[bytes, list[int]] = defaultdict(list)
    looks: dict[str, list[tuple[int, Look]]] = defaultdict(list)
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        results = pool.map(lambda index: _inspect(manifest, index), range(len(manifest)))
        for index, (digest, look, faults) in enumerate(results):
            yield from faults
            if look is not None:
                looks[manifest.label[index]].append((index, look))
            if digest is not None:
                box = b"" if manifest.bbox is None else manifest.bbox[index].tobytes()
                same[digest + box].append(index)
            if progress is not None:
                progress(index + 1, len(manifest))
    finally:
        # Ctrl-C does not wait for the pictures that are still to come.
        pool.shutdown(cancel_futures=True)
    for first, *others in same.values():
        for index in others:
            yield _duplicate(manifest, first, index)
    for label in sorted(looks, key=natural):
        yield from _sizes(manifest, label, looks[label])


def _sizes(manifest: Manifest, label: str, found: list[tuple[int, Look]]) -> Iterator[Fault]:
    """A note on a class that holds small copies of its own pictures, as some devices make them."""
    from bier.data.looks import copies_at_other_sizes

    pairs = list(copies_at_other_sizes([look for _, look in found]))
    if pairs:
        smaller = {small for _, small in pairs}
        ends = [found[place] for place in pairs[0]]
        pair = " and ".join(f"{_name(manifest, index)} ({look.width} x {look.height})" for index, look in ends)
        message = f"{len(smaller):,} of the {len(found):,} pictures of class {label!r} are near-copies at another size"
        yield Fault("copy at another size", None, None, f"{message}, such as {pair}")


def _inspect(manifest: Manifest, index: int) -> tuple[bytes | None, Look | None, list[Fault]]:
    """The digest of a picture's file (none where there is no file), its look, and what is wrong with the picture."""
    from bier.data.images import REMEDY, read_image
    from bier.data.looks import look_at, why_blank

    try:
        picture, digest = _content(manifest.reference(index))
    except ImageError as error:
        return None, None, [_fault(manifest, index, "unreadable image", error.what)]
    except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
        kind = "missing file" if isinstance(error, FileNotFoundError) else "unreadable image"
        return None, None, [_fault(manifest, index, kind, getattr(error, "strerror", None) or str(error))]
    try:
        image = read_image(picture)
    except DataError as error:
        message = error.what if error.remedy in (None, REMEDY) else f"{error.what} ({error.remedy})"
        return digest, None, [_fault(manifest, index, "unreadable image", message)]
    height, width = image.shape[-2:]
    look = look_at(image)
    blank = why_blank(image, look)
    box = np.full(4, np.nan) if manifest.bbox is None else manifest.bbox[index]
    x, y, w, h = box.tolist()
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        message = f"x {x:g}, y {y:g}, width {w:g}, height {h:g} in an image of {width} x {height}"
        return digest, look, [_fault(manifest, index, "box outside", message)]
    return digest, look, [] if blank is None else [_fault(manifest, index, "blank", blank)]


def _content(image: str) -> tuple[Path | bytes, bytes]:
    """What there is to decode, and the digest of its bytes."""
    if is_reference(image):
        data = kept.content(image) if is_url(image) else picture_bytes(image)
        return data, hashlib.sha256(data).digest()
    path = located(Path(image))
    return path, _digest(path)


def _digest(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise OSError("not a file")  # a device or a pipe might never end
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def near_copy(manifest: Manifest, first: int, index: int) -> Fault | None:
    """That a picture shows what another one shows; None where their files are the same, which `check` tells."""
    contents = [_content(manifest.reference(row))[1] for row in (first, index)]
    return None if contents[0] == contents[1] else _repeats(manifest, first, index, "near-copy", "shows the same as")


def _duplicate(manifest: Manifest, first: int, index: int) -> Fault:
    """How a picture repeats the first one of the same content."""
    return _repeats(manifest, first, index, "duplicate", "same file as")


def _repeats(manifest: Manifest, first: int, index: int, kind: str, told: str) -> Fault:
    message = f"{told} {f'row {manifest.row[first]}, ' if manifest.numbered else ''}{_name(manifest, first)}"
    for place, column in (("splits", manifest.split), ("classes", manifest.label)):
        if column[first] != column[index]:
            there = f"{message} ({column[first]!r} there, {column[index]!r} here)"
            return _fault(manifest, index, f"{kind} across {place}", there)
    return _fault(manifest, index, kind, message)
