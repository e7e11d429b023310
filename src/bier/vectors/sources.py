"""Where the pictures of a catalogue come from: a folder, a table, a benchmark's directory, tar files."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Protocol

from bier.data import open_source
from bier.data.box import Box, box_text, read_box
from bier.data.columns import Column
from bier.data.datasets import FOLDER, SHARDS, class_level, kind_of, parquet_source, reading, saved_dataset, table
from bier.data.datasets.folder import about_links, but_others, sort_out
from bier.data.datasets.label_columns import LabelColumns
from bier.data.datasets.layout import Layout, layout_of
from bier.data.datasets.tars import folders_above, label_files, plain, read_tar, tar_files
from bier.data.datasets.walk import walk
from bier.data.fields import Kinds, Value
from bier.data.label_cells import parts
from bier.data.manifest import Manifest, natural
from bier.data.passed_over import by_suffix, in_words
from bier.data.references import absolute, file_of, is_reference, located, look_up, short_name, tar_uri
from bier.errors import DataError
from bier.system import places
from bier.system.files import state_of
from bier.system.places import is_url, path_of
from bier.vectors.objects import OBJECTS, box_texts, check_alike, no_boxes, with_box, with_boxes


@dataclass(frozen=True)
class Entry:
    """One picture of a catalogue, not yet opened."""

    id: str
    image: str
    """An absolute path, or a reference into another file, as `bier.data.references` makes them."""
    label: str | None
    end: tuple[int, int]
    """The place in the source after it: file and position."""
    fault: str | None = None
    """Why there is no use in opening it."""
    fields: Mapping[str, Value] = field(default_factory=dict)
    """What else the source says of it."""
    box: Box | None = None
    """The part of the picture that is meant; none: all of it."""
    state: tuple[int, int] | None = None
    """Size and time of its file, from before it is read; none where there is no telling."""

    @property
    def place(self) -> str:
        """What a list of failures calls it."""
        return self.image if self.box is None else with_box(self.image, box_text(self.box))


class Source(Protocol):
    """Pictures in a fixed order, from any place on."""

    name: str
    fingerprint: str
    """Of names, sizes and times of the files, in order: whether a place still means what it meant."""
    total: int | None
    """How many there are, where that is known."""

    @property
    def kinds(self) -> Kinds:
        """The fields that its pictures have beside image and label, and of which kind they are."""

    def read_as(self, kinds: Kinds) -> None:
        """Read fields as an index has them, where the source itself says nothing of kinds.

        Raises:
            DataError: a value is not of that kind; it is named. Or one is of objects, and the other of whole pictures.
        """

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]: ...

    def remarks(self) -> list[str]:
        """Lines for a person, such as what was passed over; complete once all pictures have been asked for."""


CLASS_DEPTH = "--class-depth"
"""How a person says which folders of a folder are the classes."""


LABEL_SEPARATOR = "--label-separator"
LABELS = "labels"
"""The field of a picture's labels, where it may have several."""


def open_catalogue(
    source: str | Path | Sequence[str | Path],
    class_depth: int | None = None,
    label_separator: str | None = None,
    *,
    objects: bool = False,
) -> Source:
    """The source behind one or several paths; see `embed_catalogue`."""
    paths = [source] if isinstance(source, str | Path) else list(source)
    files = [file for path in paths for file in _chosen(places.source(path))]
    if len(files) > 1 or files[0].suffix.lower() == ".tar":
        _refuse_depth(class_depth, files[0])
        _refuse_separator(label_separator, files[0])
        _refuse_objects(objects, files[0])
        return _Shards(files, Path(os.path.commonpath([file.parent for file in files])))
    with reading(files[0]):
        return _open(files[0], class_depth, label_separator, objects)


def _chosen(path: Path) -> list[Path]:
    """The tar files that a URL with a wildcard stands for, in natural order; else the path itself."""
    names = places.matching(path) if path.suffix.lower() == ".tar" else []
    return [path.parent / name for name in sorted(names, key=natural)] or [path]


def _open(path: Path, class_depth: int | None, separator: str | None, objects: bool) -> Source:
    kind = kind_of(path) if places.exists(path) else ""
    if kind in (FOLDER, SHARDS):
        _refuse_objects(objects, path)
        return _folder(path, class_depth, separator)
    _refuse_depth(class_depth, path)
    but = ["bbox"] if objects else []  # these boxes are more than a field
    wanted = table.Wanted(["image"], fields=True, but=but, labels=LabelColumns(separator=separator))
    # Tables not through open_source: pictures that are searched need no second one of their class.
    if kind == "parquet":
        return _Table(parquet_source.read(path, wanted=wanted), separator, objects)
    if kind == "datasets":
        return _Table(saved_dataset.read(path, wanted=wanted), separator, objects)
    if kind == "csv":
        file = path / table.LABELS if path.is_dir() else path
        return _Table(table.read_csv(file, wanted=wanted), separator, objects)
    return _Table(open_source(path), separator, objects)  # which names what is wrong with it


def _refuse_depth(class_depth: int | None, path: Path) -> None:
    if class_depth is not None:
        remedy = "leave it out: labels of a table stand in a column, those of tar files beside the pictures"
        raise DataError(f"{path.name} is not a folder of pictures", where=CLASS_DEPTH, remedy=remedy)


def _refuse_separator(separator: str | None, path: Path) -> None:
    if separator is not None:
        raise DataError(
            f"{path.name} is a tar file, whose pictures have one label each",
            where=LABEL_SEPARATOR,
            remedy="leave it out, or give a table of the pictures",
        )


def _refuse_objects(objects: bool, path: Path) -> None:
    if objects:
        raise no_boxes(path.name)


def _with_labels(fields: tuple[Column, ...], manifest: Manifest, separator: str | None) -> tuple[Column, ...]:
    """The fields of a table, and one of the labels of each picture where a separator tells them apart.

    Raises:
        DataError: there is a field of that name already.
    """
    if separator is None:
        return fields
    if any(column.name == LABELS for column in fields):
        raise DataError(
            f"the table has a column {LABELS!r} already", where=LABEL_SEPARATOR, remedy="rename it, or leave this out"
        )
    values: list[Value] = [parts(label, separator) or None for label in manifest.label]
    return (*fields, Column(LABELS, "texts", values))


class _Table:
    """The pictures of a manifest: whole, whatever boxes it has, or the ``objects`` in its boxes."""

    def __init__(self, manifest: Manifest, separator: str | None = None, objects: bool = False) -> None:
        self.objects = objects
        self.boxes = box_texts(manifest) if objects else [None] * len(manifest)
        self.manifest, self.name = manifest, manifest.source
        self.total: int | None = len(manifest)
        root = str(manifest.root) if is_url(manifest.root) else os.path.abspath(manifest.root)
        look_up(manifest.image, path_of(root))
        found = [_look(image, root) for image in manifest.image]
        self.images, self.states = [image for image, _ in found], [state for _, state in found]
        about: list[object] = [manifest.fingerprint(), *self.states]
        self.columns = _with_labels(manifest.fields, manifest, separator)
        if objects:
            self.columns = with_boxes(self.columns, self.boxes, manifest.source)
        about += [[column.name, column.kind, column.values] for column in self.columns]
        self.fingerprint = sha256(json.dumps(about).encode()).hexdigest()
        names = [with_box(str(image), box) for image, box in zip(manifest.image, self.boxes, strict=True)]
        if len(set(names)) < len(names):
            _refuse_first_twice(names, manifest, objects)

    @property
    def kinds(self) -> Kinds:
        return {column.name: column.kind for column in self.columns}

    def read_as(self, kinds: Kinds) -> None:
        has_boxes = self.manifest.bbox is not None
        check_alike(self.name, has_boxes=has_boxes, objects=self.objects, kinds=kinds)
        rows = self.manifest.row.tolist()
        self.columns = tuple(
            column.read_as(kinds.get(column.name, column.kind), rows, self.name) for column in self.columns
        )

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]:
        for row in range(start[1], len(self.manifest)):
            name, label = short_name(str(self.manifest.image[row])), self.manifest.title(row) or None
            fields = {column.name: column.values[row] for column in self.columns}
            whole = Entry(name, self.images[row], label, (0, row + 1), fields=fields, state=self.states[row])
            yield _printable(_part(whole, self.boxes[row]))

    def remarks(self) -> list[str]:
        mixed = [column.in_words() for column in self.columns if column.mixed is not None]
        return [*self.manifest.remarks(), *([f"fields of text: {', '.join(mixed)}"] if mixed else [])]


def _part(whole: Entry, text: str | None) -> Entry:
    """The object in a box of a picture."""
    if text is None:
        return whole
    box = read_box(text)
    name = with_box(whole.id, text)
    if box is None:  # numbers without a float32
        return replace(whole, id=name, image=with_box(whole.image, text), fault=f"{text} is no box in pixels")
    return replace(whole, id=name, box=box)


def _look(image: str, root: str) -> tuple[str, tuple[int, int] | None]:
    """Where a picture of a manifest is, and the state of its file. One look at the disk finds both, as a rule."""
    if ":/" not in image and not is_url(root):  # else it may be a reference
        path = os.path.normpath(os.path.join(root, image))
        if (state := state_of(path)) is not None:
            return path, state
    place = absolute(image, path_of(root))
    # Tables may spell a path in another way than the disk; an index keeps that of the disk.
    place = place if is_reference(place) else str(located(Path(place)))
    return place, state_of(file_of(place))


def _printable(picture: Entry) -> Entry:
    """The same, but for a name that is not UTF-8: no table can hold it, so it is left out with a reason."""
    try:
        f"{picture.id}{picture.image}{picture.label}".encode()
    except UnicodeEncodeError:
        name, image = (text.encode("utf-8", "backslashreplace").decode() for text in (picture.id, picture.image))
        return replace(picture, id=name, image=image, label=None, fault="its name is not UTF-8: rename it")
    return picture


def _folder(path: Path, class_depth: int | None, separator: str | None) -> Source:
    """Pictures anywhere below a folder, or the tar files in it."""
    tree = walk(path)
    pictures, others = sort_out(tree, path)
    pictures.sort(key=natural)
    shards = tar_files(path, tree.files, pictures)
    if shards:
        _refuse_depth(class_depth, path / shards[0])
        _refuse_separator(separator, path / shards[0])
        return _Shards([path / name for name in shards], path)
    if not pictures:
        raise DataError(
            f"there are no pictures in this folder{but_others(others)}",
            where=path,
            remedy="give a folder with pictures, such as .jpg or .png, or with .tar files",
        )
    layout = layout_of([folder for folder in tree.folders if "/" not in folder])
    notes = [_MIXED]
    folders: list[str | None] = [None] * len(pictures)
    labels: dict[str, str] = {}
    if layout:
        if class_depth is None:
            notes = class_level.note(class_level.choices(layout, pictures), CLASS_DEPTH)
        else:
            layout, notes = replace(layout, class_depth=class_depth), []
            class_level.refuse_too_deep(path, layout, pictures, class_depth, CLASS_DEPTH)
        folders = [layout.class_folder(name) for name in pictures]
        labels = class_level.labels(layout, {folder for folder in folders if folder})
    return _Table(
        Manifest.of(
            path,
            path.name,
            image=pictures,
            label=[labels[folder] if folder else "" for folder in folders],
            passed_over=by_suffix(others),
            notes=[*about_links(tree), *notes],
        ),
        separator,
    )


_MIXED = "no labels: some of the topmost folders are named like splits, and some are not"


class _Shards:
    """Tar files, read from front to back; nothing is unpacked.

    A picture's label stands in a file beside it, or else is the name of its class folder, as for `_folder`.
    """

    def __init__(self, files: Sequence[Path], root: Path) -> None:
        for file in files:
            if not file.is_file() or file.suffix.lower() != ".tar":
                what = "is not a .tar file" if file.exists() else "there is no such file"
                raise DataError(what, where=file, remedy="give one folder or table, or any number of .tar files")
            if files.count(file) > 1:
                raise DataError("is given twice", where=file, remedy="give it once")
        self.files = files
        self.names = [file.relative_to(root).as_posix() for file in files]
        self.name = self.names[0] if len(files) == 1 else f"{root.name} ({len(files):,} tar files)"
        self.states = [state_of(file) for file in files]
        about = list(zip(self.names, self.states, strict=True))
        self.fingerprint = sha256(json.dumps(about).encode()).hexdigest()
        self.total: int | None = None
        self.kinds: Kinds = {}
        self._passed_over: Counter[str] = Counter()
        self._tar = lru_cache(maxsize=2)(read_tar)  # the layout asks for those that are read anyhow

    def read_as(self, kinds: Kinds) -> None:
        """There are no fields."""

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]:
        for number in range(start[0], len(self.files)):
            skip = start[1] if number == start[0] else 0
            yield from islice(self._pictures(number), skip, None)

    def remarks(self) -> list[str]:
        counts = self._passed_over
        return [f"passed over: {in_words(counts)}"] if counts else []

    def _pictures(self, number: int) -> Iterator[Entry]:
        file, name = self.files[number], self.names[number]
        tar = self._tar(file)
        self._passed_over += tar.passed_over
        labels = label_files(tar) if tar.labels else {}
        seen: dict[str, int] = {}
        for count, member in enumerate(tar.pictures, 1):
            if seen.setdefault(member.name, count) != count:
                _refuse_twice(f"{name}:{member.name}", str(file), seen[member.name], count)
            label = labels.get(member.name) if tar.labels else self._folder_label(member.name)
            image = tar_uri(file, member.name, member.offset, member.size)
            entry = Entry(f"{name}:{member.name}", image, label, (number, count), state=self.states[number])
            yield _printable(entry)
        for fault in tar.faults:
            yield Entry(name, str(file), None, (number, len(tar.pictures) + 1), fault)

    def _folder_label(self, member: str) -> str | None:
        above, layout = self._layout
        path = "/".join(plain(member).split("/")[above:])
        folder = None if layout is None else layout.class_folder(path)
        return None if layout is None or folder is None else layout.label(folder)

    @cached_property
    def _layout(self) -> tuple[int, Layout | None]:
        """Folders that hold every picture, and what the others say: of the first and the last file, which stand for
        all, since reading a tar file takes long."""
        ends = dict.fromkeys((self.files[0], self.files[-1]))
        pictures = [member for file in ends for member in self._tar(file).pictures]
        above = len(folders_above(pictures))
        tops = {
            parts[above] for parts in (plain(member.name).split("/") for member in pictures) if len(parts) > above + 1
        }
        return above, layout_of(sorted(tops))


def _refuse_first_twice(names: Sequence[str], manifest: Manifest, objects: bool) -> None:
    rows: dict[str, int] = {}
    also = "" if objects or manifest.bbox is None else f"; or give {OBJECTS}, to embed what is in each box"
    for name, row in zip(names, manifest.row.tolist(), strict=True):
        if rows.setdefault(name, row) != row:
            _refuse_twice(name, manifest.source, rows[name], row, also)


def _refuse_twice(name: str, where: str, first: int, second: int, also: str = "") -> None:
    raise DataError(
        f"the id {name!r} occurs twice, in rows {first} and {second}",
        where=where,
        remedy=f"remove one of them: an id stands for one picture{also}",
    )
